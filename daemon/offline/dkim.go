package offline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/dkim"
	"github.com/postrider-mta/postrider/internal/datafolder"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/route"
)

// KeyFile is a DKIM key that was made, and what to publish for it.
type KeyFile struct {
	File string `json:"file"`
	// Name and Text of the TXT record.
	Name string `json:"name"`
	Text string `json:"text"`
	// Zone is the record as a line of a zone file.
	Zone string `json:"zone"`
}

// GenerateKey makes a DKIM key for a domain and writes it, for its owner
// alone, to a file that must not exist. The algorithm is rsa or ed25519.
func GenerateKey(domain, selector, algorithm, file string) (KeyFile, error) {
	made := KeyFile{File: file}
	key := dkim.Key{Selector: selector}
	var err error
	if key.Domain, err = mail.ParseDomain(domain); err != nil {
		return made, err
	}
	algorithms := map[string]dkim.Algorithm{"rsa": dkim.RSASHA256, "ed25519": dkim.Ed25519SHA256}
	if key.Signer, err = dkim.GenerateKey(algorithms[algorithm]); err != nil {
		return made, err
	}
	if _, err = dkim.NewSigner(dkim.Options{Keys: []dkim.Key{key}}); err != nil {
		return made, err // such as a selector that is no name
	}
	if made.Text, err = dkim.Record(key); err != nil {
		return made, err
	}
	if made.Zone, err = dkim.ZoneRecord(key); err != nil {
		return made, err
	}
	made.Name = key.Name()
	encoded, err := dkim.EncodeKey(key.Signer)
	if err != nil {
		return made, err
	}
	return made, writeSecret(file, encoded)
}

// writeSecret creates a file and makes it durable; it never overwrites one,
// since mail signed with the old key would no longer verify.
func writeSecret(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: remove it first, or choose another selector", path)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return datafolder.Sync(filepath.Dir(path))
}

// errNoKey: the configuration has nothing to compare with DNS.
var errNoKey = errors.New("the configuration has no [[dkim]] key for this domain")

// CheckKeys compares what DNS publishes for a domain with every key that the
// configuration file has for it, asking the configured resolvers.
func CheckKeys(ctx context.Context, configFile, domain string) ([]dkim.Report, error) {
	c, err := config.Load(configFile)
	if err != nil {
		return nil, err
	}
	wanted, err := mail.ParseDomain(domain)
	if err != nil {
		return nil, err
	}
	resolver, err := route.New(route.Options{Resolver: c.Delivery.Resolvers})
	if err != nil {
		return nil, err
	}
	defer resolver.Close()
	var reports []dkim.Report
	for _, k := range c.DKIM {
		keyDomain, err := mail.ParseDomain(k.Domain)
		if err != nil || keyDomain != wanted {
			continue
		}
		private, err := dkim.LoadKey(string(k.Key))
		if err != nil {
			return nil, err
		}
		report, err := dkim.CheckRecord(ctx, resolver.LookupTXT, dkim.Key{Domain: keyDomain, Selector: k.Selector, Signer: private})
		if err != nil {
			return nil, err
		}
		reports = append(reports, report)
	}
	if len(reports) == 0 {
		return nil, fmt.Errorf("%s: %w", wanted, errNoKey)
	}
	return reports, nil
}
