package powerfail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/queue"
	"github.com/postrider-mta/postrider/test/harness"
)

// start implements starter: the daemon comes up on the disk, lists what it owes
// and tells its events, and goes down in order. Its mail leads nowhere.
func (s *Service) start(p place, l *ledger, at int) []finding {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	findings, err := s.startNowhere(ctx, p, l, at)
	log, logErr := os.ReadFile(p.log())
	if err == nil {
		err = logErr
	}
	if err != nil {
		findings = append(findings, finding{fault: refused, text: fmt.Sprintf("%v\n%s", err, log[max(0, len(log)-2000):])})
	}
	for _, sign := range []string{"panic", "level=ERROR"} {
		if at := strings.Index(string(log), sign); at >= 0 {
			findings = append(findings, finding{fault: alarmed, text: "its log: " + string(log[at:min(len(log), at+2000)])})
		}
	}
	return findings
}

func (s *Service) startNowhere(ctx context.Context, p place, l *ledger, at int) ([]finding, error) {
	nobody, err := harness.FreeAddresses(1)
	if err != nil {
		return nil, err
	}
	if _, _, err := p.configure(nobody[0], "1h"); err != nil {
		return nil, err
	}
	program, err := harness.Start(s.Binary, p.log(), "serve", "--config", p.configuration())
	if err != nil {
		return nil, err
	}
	defer program.Kill()
	if err := p.await(ctx, program); err != nil {
		return nil, err
	}
	findings, err := question(ctx, filepath.Join(p.data(), "admin.sock"), l, at)
	if err == nil {
		err = program.Stop(patience)
	}
	return findings, err
}

// question compares what a daemon says with what it must.
func question(ctx context.Context, socket string, l *ledger, at int) ([]finding, error) {
	client := api.NewClient(socket)
	defer client.Close()
	events := map[string]bool{}
	err := client.Events(ctx, 0, false, func(r api.Record) error {
		events[r.Event.ID] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	owed, err := listAll(ctx, client)
	if err != nil {
		return nil, err
	}
	var findings []finding
	for _, r := range l.stillOwed(at) {
		if brief := !l.messages[r.Message].message.Expires.IsZero(); !owed[r] && !brief {
			findings = append(findings, finding{lost, r.Message, fmt.Sprintf("%s is owed no more", r)})
		}
	}
	for id, h := range l.events {
		if anyCertain(h.promises, at) && !events[id] {
			findings = append(findings, finding{lost, h.message, fmt.Sprintf("event %s was acknowledged and is not told", id)})
		}
	}
	return findings, nil
}

// listAll returns who is owed.
func listAll(ctx context.Context, client *api.Client) (map[queue.RecipientID]bool, error) {
	owed := map[queue.RecipientID]bool{}
	for after := ""; ; {
		page, err := client.List(ctx, api.ListRequest{After: after, Limit: 1000})
		if err != nil {
			return nil, err
		}
		for _, r := range page.Recipients {
			id, err := queue.ParseID(r.Message)
			if err != nil {
				return nil, err
			}
			owed[queue.RecipientID{Message: id, Index: r.Index}] = true
		}
		if after = page.Next; after == "" {
			return owed, nil
		}
	}
}
