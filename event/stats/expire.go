package stats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// expireBatch bounds what one transaction removes.
const expireBatch = 2000

// expire removes the days and the marks that were kept long enough at now, and
// returns how many days of campaigns that was.
func (s *Store) expire(ctx context.Context, now time.Time) (int, error) {
	if err := s.expireMarks(ctx, oldest(now.Add(-s.options.UniqueFor))); err != nil {
		return 0, err
	}
	if s.options.Keep <= 0 {
		return 0, nil
	}
	return s.expireDays(ctx, dayOf(now.Add(-s.options.Keep)))
}

func (s *Store) expireMarks(ctx context.Context, before mark) error {
	for n := expireBatch; n == expireBatch; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.update(func(t *transaction) (err error) {
			n, err = blocks{t.bucket(marksBucket)}.expire(before, expireBatch)
			return err
		})
		if err != nil {
			return fmt.Errorf("expire marks: %w", err)
		}
	}
	return nil
}

// expireDays removes the days before one, campaign by campaign, and campaigns
// that have none left.
func (s *Store) expireDays(ctx context.Context, before day) (int, error) {
	removed := 0
	for after := []byte{}; after != nil; {
		if err := ctx.Err(); err != nil {
			return removed, err
		}
		var n int
		err := s.update(func(t *transaction) (err error) {
			n, after, err = t.expireCampaigns(after, before)
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("expire statistics: %w", err)
		}
		removed += n
	}
	return removed, nil
}

// expireCampaigns looks at the campaigns behind a key. It returns the last one's
// key, nil at the end.
func (t *transaction) expireCampaigns(after []byte, before day) (removed int, last []byte, err error) {
	var found []*campaign
	c := t.bucket(campaignsBucket).Cursor()
	k, v := c.Seek(after)
	if bytes.Equal(k, after) {
		k, v = c.Next()
	}
	for ; k != nil && len(found) < expireBatch; k, v = c.Next() {
		at, err := readCampaign(k, v)
		if err != nil {
			return 0, nil, err
		}
		found = append(found, at)
		last = slices.Clone(k)
	}
	for _, at := range found {
		n, err := t.expireCampaign(at, before)
		if err != nil {
			return 0, nil, err
		}
		removed += n
	}
	return removed, last, nil
}

func (t *transaction) expireCampaign(c *campaign, before day) (int, error) {
	var keys [][]byte
	prefix := dayKey(c.id, 0)[:4]
	err := scan(t.bucket(daysBucket), prefix, func(key, value []byte) error {
		if _, d := readDayKey(key); d >= before {
			return errDone
		}
		f := fields{b: value}
		row := f.counters()
		c.total.add(&row, -1)
		keys = append(keys, slices.Clone(key))
		return f.err
	})
	if err != nil && !errors.Is(err, errDone) || len(keys) == 0 {
		return 0, ignore(err, errDone)
	}
	for _, key := range keys {
		if err := t.bucket(daysBucket).Delete(key); err != nil {
			return 0, err
		}
		if err := t.bucket(clicksBucket).Delete(key); err != nil {
			return 0, err
		}
	}
	if c.last < before {
		return len(keys), t.forget(c)
	}
	return len(keys), t.bucket(campaignsBucket).Put(c.key(), c.append(nil))
}

// ignore returns an error unless it is of that kind.
func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

// forget removes a campaign that has no day left.
func (t *transaction) forget(c *campaign) error {
	var keys [][]byte
	err := scan(t.bucket(linksBucket), dayKey(c.id, 0)[:4], func(key, _ []byte) error {
		keys = append(keys, slices.Clone(key))
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := t.bucket(linksBucket).Delete(key); err != nil {
			return err
		}
	}
	if err := t.bucket(campaignsBucket).Delete(c.key()); err != nil {
		return err
	}
	return t.setTenantUse(c.tenant, t.tenantUse(c.tenant)-1)
}
