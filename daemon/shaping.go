package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/bounce"
	"github.com/postrider-mta/postrider/mta/shape"
)

// shapingFile keeps what was learned of providers over restarts.
const shapingFile = "shaping.json"

// shapingInterval is how often it is written; a crash loses what came since.
const shapingInterval = time.Minute

// readProviders returns the rules that come along, with the operator's over
// them.
func readProviders(c *config.Config) (*shape.Providers, error) {
	providers, err := shape.ShippedProviders()
	if err != nil || c.Delivery.ProvidersFile == "" {
		return providers, err
	}
	text, err := os.ReadFile(c.Delivery.ProvidersFile)
	if err != nil {
		return nil, fmt.Errorf("delivery.providers_file: %w", err)
	}
	return providers.Override(c.Delivery.ProvidersFile, text)
}

// limits are those of [delivery], [[site]] and the rules of providers.
func limits(c *config.Config, providers *shape.Providers, classifier *bounce.Classifier) shape.Options {
	options := shape.Options{
		Default: shape.Limits{
			Connections:           c.Delivery.ConnectionsPerSite,
			MessagesPerConnection: c.Delivery.MessagesPerConnection,
			Rate:                  shape.Rate(c.Delivery.Rate),
		},
		Providers: providers,
		Sites:     map[string]shape.Limits{},
		Categorize: func(r mail.Reply) string {
			return string(classifier.Classify(r).Category)
		},
		MaxProbes: max(1, c.Delivery.Connections/10),
	}
	for _, s := range c.Sites {
		of := shape.Limits{
			Connections: s.Connections, MessagesPerConnection: s.MessagesPerConnection, Rate: shape.Rate(s.Rate),
		}
		if s.Family != config.Inherited {
			of.Family = shape.Family(s.Family)
		}
		options.Sites[s.Match] = of
	}
	for i := range c.Sources {
		if c.Sources[i].WarmUp {
			options.Warming = append(options.Warming, c.Sources[i].Name)
		}
	}
	return options
}

// startShaping takes up what was learned before, and keeps it from now on.
func (d *daemon) startShaping(c *config.Config) error {
	path := filepath.Join(c.DataDir, shapingFile)
	if err := d.learn(path); err != nil {
		return err
	}
	d.background("shaping", 0, func(ctx context.Context) error {
		tick := time.NewTicker(shapingInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return d.keepShaping(path)
			case <-tick.C:
				if err := d.keepShaping(path); err != nil {
					d.logger.Warn("what was learned of providers is not written", "error", err)
				}
			}
		}
	})
	return nil
}

// learn takes what the file has. One that cannot be used is set aside: it is
// better to learn again than not to start.
func (d *daemon) learn(path string) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	state, err := shape.UnmarshalState(text)
	if err == nil {
		err = d.shaper.Import(time.Now(), state)
	}
	if err == nil {
		return nil
	}
	d.logger.Warn("what was learned of providers is set aside", "file", path, "error", err)
	return os.Rename(path, path+".damaged")
}

func (d *daemon) keepShaping(path string) error {
	text, err := json.Marshal(d.shaper.Export(time.Now()))
	if err != nil {
		return err
	}
	return datafolder.Replace(path, text)
}
