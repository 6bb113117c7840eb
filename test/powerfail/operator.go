package powerfail

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/postrider-mta/postrider/daemon/admin/api"
	"github.com/postrider-mta/postrider/event"
	"github.com/postrider-mta/postrider/internal/mail"
	"github.com/postrider-mta/postrider/queue"
)

// operatorPrefix begins the addresses of the operator's letters.
const operatorPrefix = "operator"

// The letters of a campaign are many with much metadata, so that they take room
// in queue.db, and few to a crowd.
const (
	campaignNotes = 50
	campaignCrowd = 150
)

// operator holds, lets go, cancels, retries and erases.
type operator struct {
	*load
	client *http.Client
}

// post asks for something and reads the answer.
func (o *operator) post(ctx context.Context, method, path string, a ask, body, answer any) (number int, err error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	number, text, err := request{
		client: o.client, method: method, url: "http://postrider" + path, contentType: "application/json", body: encoded,
	}.doNumbered(ctx, o.world, a)
	if err != nil {
		return number, err
	}
	return number, json.Unmarshal(text, answer)
}

// hold places a hold and returns its id.
func (o *operator) hold(ctx context.Context, chosen selector) (string, error) {
	reason := fmt.Sprintf("looked into since %d", o.world.lastNumber())
	wish := api.ChangeRequest{Reason: reason, Selector: api.Selector{Domain: string(chosen.Domain)}}
	if !chosen.Message.IsZero() {
		wish.Selector.Message = chosen.Message.String()
	}
	var placed api.Hold
	n, err := o.post(ctx, http.MethodPost, "/v1/holds", ask{word: word{Kind: wordHold, Selector: chosen, Reason: reason}}, wish, &placed)
	if err != nil {
		return "", err
	}
	id, err := queue.ParseID(placed.ID)
	o.world.amend(n, func(w *word) { w.Hold = id })
	return placed.ID, err
}

func (o *operator) release(ctx context.Context, hold string) error {
	id, err := queue.ParseID(hold)
	if err != nil {
		return err
	}
	var changed api.Changed
	_, err = o.post(ctx, http.MethodDelete, "/v1/holds/"+hold, ask{word: word{Kind: wordFree, Hold: id}}, struct{}{}, &changed)
	return err
}

// park has what goes to one domain wait.
func (o *operator) park(ctx context.Context) error {
	_, err := o.hold(ctx, selector{Domain: parkedDomain})
	return err
}

// work does everything that an operator can do, while mail flows.
func (o *operator) work(ctx context.Context) error {
	a, err := o.world.connect(ctx, o.submission)
	if err != nil {
		return err
	}
	defer a.conn.Close()
	for _, do := range []func(context.Context, *application) error{
		o.holdAndRelease, o.eraseWaiting, o.cancelCampaign, o.retry, o.eraseReader, o.holdAndRelease,
	} {
		if err := do(ctx, a); err != nil {
			return fmt.Errorf("operator: %w", err)
		}
	}
	return nil
}

// name is an address that nobody else has.
func (o *operator) name(domain string) string {
	return fmt.Sprintf("%s%d.%d@%s", operatorPrefix, o.world.seed, o.world.lastNumber(), domain)
}

func (o *operator) holdAndRelease(ctx context.Context, a *application) error {
	n, err := a.hand(&letter{stream: "transactional", to: []string{o.name(parkedDomain)}})
	if err != nil {
		return err
	}
	chosen := selector{Message: o.world.requests()[n].Message.ID}
	if _, err := o.hold(ctx, chosen); err != nil {
		return err
	}
	again, err := o.hold(ctx, chosen)
	if err != nil {
		return err
	}
	return o.release(ctx, again)
}

// cancelCampaign has many recipients wait, and withdraws them all.
func (o *operator) cancelCampaign(ctx context.Context, a *application) error {
	campaign, recipients := fmt.Sprintf("sale-%d", o.world.seed), 0
	for n := range o.service.Campaign {
		l := &letter{stream: "marketing", campaign: campaign, filler: 1000, notes: campaignNotes}
		size := 1
		if n%100 == 0 {
			l.notes, size = 0, campaignCrowd
		}
		for range size {
			recipients++
			l.to = append(l.to, fmt.Sprintf("c%d.%d@%s", o.world.seed, recipients, parkedDomain))
		}
		if _, err := a.hand(l); err != nil {
			return err
		}
	}
	pause(ctx, settling) // a checkpoint knows them then
	w := word{Kind: wordCancel, Selector: selector{Campaign: campaign}, Reason: "sold out"}
	var changed api.Changed
	_, err := o.post(ctx, http.MethodPost, "/v1/cancel", ask{word: w},
		api.ChangeRequest{Selector: api.Selector{Campaign: campaign}, Reason: w.Reason}, &changed)
	if err == nil && changed.Recipients != recipients {
		err = fmt.Errorf("%d recipients of a campaign of %d cancelled", changed.Recipients, recipients)
	}
	return err
}

// retry has all that was deferred be tried at once.
func (o *operator) retry(ctx context.Context, _ *application) error {
	var changed api.Changed
	_, err := o.post(ctx, http.MethodPost, "/v1/retry", ask{word: word{Kind: wordRetry, Selector: selector{Domain: laterDomain}}},
		api.ChangeRequest{Selector: api.Selector{Domain: laterDomain}}, &changed)
	return err
}

// eraseWaiting erases somebody for whom mail waits.
func (o *operator) eraseWaiting(ctx context.Context, a *application) error {
	address := o.name(parkedDomain)
	if _, err := a.hand(&letter{stream: "marketing", to: []string{address}}); err != nil {
		return err
	}
	return o.erase(ctx, address)
}

// eraseReader erases somebody who has got and read their mail.
func (o *operator) eraseReader(ctx context.Context, a *application) error {
	address := o.name(openDomain)
	n, err := a.hand(&letter{stream: "marketing", to: []string{address}})
	if err != nil {
		return err
	}
	if err := o.await(ctx, "a letter's reading", func() bool {
		return o.world.heardOf(n, event.Delivered) && o.world.heardOf(n, event.Clicked)
	}); err != nil {
		return err
	}
	return o.erase(ctx, address)
}

func (o *operator) erase(ctx context.Context, address string) error {
	a, err := mail.ParseAddress(address)
	if err != nil {
		return err
	}
	var report api.SubjectReport
	_, err = o.post(ctx, http.MethodPost, "/v1/subjects/erase", ask{word: word{Kind: wordErase, Tenant: tenant, Address: a}},
		api.SubjectRequest{Tenant: tenant, Address: address}, &report)
	return err
}
