package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider-mta/postrider/daemon/config"
	"github.com/postrider-mta/postrider/dkim"
	"github.com/postrider-mta/postrider/internal/account"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/mta/delivery"
)

// signer is a dkim.Signer that a reload replaces.
type signer struct {
	current  atomic.Pointer[dkim.Signer]
	accounts account.Directory
	logger   *slog.Logger
	unsigned prometheus.Counter
}

var _ delivery.Signer = (*signer)(nil)

func newSigner(accounts account.Directory, logger *slog.Logger, metrics prometheus.Registerer) *signer {
	unsigned := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "postrider_dkim_unsignable_total",
		Help: "Messages that went out unsigned although there was a key, since what they hold cannot be signed.",
	})
	metrics.MustRegister(unsigned)
	return &signer{accounts: accounts, logger: logger, unsigned: unsigned}
}

// Sign implements delivery.Signer: the key of the From domain, or else of the
// tenant's own. A message that no key could ever sign goes out without, and so
// does one that is not ours.
func (s *signer) Sign(ctx context.Context, tenant string, from mail.Domain, message []byte) ([]byte, error) {
	if from == "" {
		return nil, nil // a stranger's mail on its way to the postmaster
	}
	var fallback mail.Domain
	if t, ok := s.accounts.Tenant(tenant); ok {
		fallback = t.DKIMDomain
	}
	fields, err := s.current.Load().Sign(ctx, from, fallback, message)
	if errors.Is(err, dkim.ErrMessage) {
		s.unsigned.Inc()
		s.logger.Debug("message goes out unsigned", "error", err)
		return nil, nil
	}
	return fields, err
}

// aligns reports whether mail from a domain gets a signature that aligns with
// it.
func (s *signer) aligns(tenant string, from mail.Domain) bool {
	t, _ := s.accounts.Tenant(tenant)
	return s.current.Load().Aligns(from, t.DKIMDomain)
}

// loadSigner reads the DKIM keys.
func loadSigner(c *config.Config, logger *slog.Logger) (*dkim.Signer, error) {
	var keys []dkim.Key
	for _, k := range c.DKIM {
		domain, err := mail.ParseDomain(k.Domain)
		if err != nil {
			return nil, fmt.Errorf("dkim %s: %w", k.Domain, err)
		}
		private, err := dkim.LoadKey(string(k.Key))
		if err != nil {
			return nil, fmt.Errorf("dkim %s: %w", k.Domain, err)
		}
		key := dkim.Key{Domain: domain, Selector: k.Selector, Signer: private}
		if warning := key.Warning(); warning != "" {
			logger.Warn("dkim key", "domain", domain, "selector", k.Selector, "warning", warning)
		}
		keys = append(keys, key)
	}
	return dkim.NewSigner(dkim.Options{Keys: keys})
}
