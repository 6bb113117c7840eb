package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/event/stats"
	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/privacy/suppress"
	"github.com/postrider-mta/postrider/tracking"
	"github.com/postrider-mta/postrider/tracking/token"
)

// loadTokenKeys reads the keys of the tracked links, and makes the first one
// where there is none: mail that is sent without the file would carry links
// that nobody can open.
func (d *daemon) loadTokenKeys(c *config.Config) error {
	secret, err := config.SecretFile(c.Tracking.Keys).Read()
	text := []byte(secret.Reveal())
	if errors.Is(err, fs.ErrNotExist) {
		text, err = createTokenKeys(c.Tracking.Keys)
	}
	if err != nil {
		return err
	}
	d.tokens, err = token.ParseKeyFile(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Tracking.Keys, err)
	}
	return nil
}

// readTokenKeys reads the key file of the start again, for a reload.
func (d *daemon) readTokenKeys() (*token.Keyring, error) {
	if d.tokens == nil {
		return nil, nil // it has not been read before
	}
	path := d.begun.Tracking.Keys
	secret, err := config.SecretFile(path).Read()
	if err != nil {
		return nil, err
	}
	ring, err := token.ParseKeyFile([]byte(secret.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}

func createTokenKeys(path string) ([]byte, error) {
	var text bytes.Buffer
	text.WriteString("# Keys of the tracked links. Links in mail that is sent die with them.\n")
	if err := token.WriteKeyLine(&text, 0, token.Generate()); err != nil {
		return nil, err
	}
	return text.Bytes(), datafolder.Replace(path, text.Bytes())
}

func (d *daemon) startTracker(c *config.Config) error {
	if c.Tracking.Listen == "" {
		return nil
	}
	secured, err := d.newTrackerTLS(c)
	if err != nil {
		return err
	}
	listener, err := listen(c.Tracking.Listen, sharedSocket)
	if err != nil {
		return err
	}
	choices := d.chooser()
	recorder, err := newConsenting(d.store, d.consents, d.events.Lookup, d.metrics)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	tracker, err := tracking.New(tracking.Options{
		Keys: d.tokens, Recorder: recorder, Unsubscriber: choices, Preferences: choices,
		Logger: d.logger, Registerer: d.metrics, Window: c.Tracking.RecordWindow, RecordFor: c.Tracking.RecordFor,
		Classifier: d.hits, IgnoreSignals: !c.Tracking.RespectSignals,
		TrustedProxies: c.Tracking.TrustedProxies, Limits: trackingLimits(&c.Tracking), TLS: secured.config,
		CleanURL: stats.CleanURL, Openings: openings{d.consents},
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	d.logger.Info("tracker listening", "address", listener.Addr().String())
	d.run(part{
		name:  "tracker",
		serve: func() error { return tracker.Serve(listener) },
		stop:  tracker.Shutdown,
	})
	return d.startPlainTracker(c, tracker, secured.plain)
}

func trackingLimits(t *config.Tracking) tracking.Limits {
	return tracking.Limits{
		RequestsPerSecond: t.RequestsPerSecond, RequestBurst: t.RequestBurst,
		UnsubscribesPerSecond: t.UnsubscribesPerSecond, UnsubscribeBurst: t.UnsubscribeBurst,
		Connections: t.ConnectionsPerIP, Exempt: t.ExemptNetworks,
	}
}

// unsubscriber turns a reader's wish into a suppression.
type unsubscriber struct{ suppressions *suppress.Store }

var _ tracking.Unsubscriber = (*unsubscriber)(nil)

// Unsubscribe implements tracking.Unsubscriber.
func (u *unsubscriber) Unsubscribe(ctx context.Context, tenant, stream string, address mail.Address, message string, _ int) error {
	_, err := u.suppressions.Add(ctx, suppress.Entry{
		Tenant: tenant, Stream: stream, Address: address,
		Reason: suppress.Unsubscribed, Time: time.Now(), Source: message,
	})
	return err
}
