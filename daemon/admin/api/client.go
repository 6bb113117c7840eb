package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
)

// Client speaks to a running daemon over its unix socket.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client for the socket at that path.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Version asks the daemon who it is.
func (c *Client) Version(ctx context.Context) (Version, error) {
	return call[Version](ctx, c, http.MethodGet, "/v1/version", nil)
}

// Queues returns all queues that hold anything.
func (c *Client) Queues(ctx context.Context) (Queues, error) {
	return call[Queues](ctx, c, http.MethodGet, "/v1/queues", nil)
}

// Sites returns the destination sites in use.
func (c *Client) Sites(ctx context.Context) ([]Site, error) {
	return call[[]Site](ctx, c, http.MethodGet, "/v1/sites", nil)
}

// List returns one page of owed recipients.
func (c *Client) List(ctx context.Context, request ListRequest) (RecipientPage, error) {
	return call[RecipientPage](ctx, c, http.MethodPost, "/v1/recipients", request)
}

// Retry makes the chosen recipients due now.
func (c *Client) Retry(ctx context.Context, request ChangeRequest) (Changed, error) {
	return call[Changed](ctx, c, http.MethodPost, "/v1/retry", request)
}

// Cancel ends the chosen recipients.
func (c *Client) Cancel(ctx context.Context, request ChangeRequest) (Changed, error) {
	return call[Changed](ctx, c, http.MethodPost, "/v1/cancel", request)
}

// Hold keeps what is chosen from being sent.
func (c *Client) Hold(ctx context.Context, request ChangeRequest) (Hold, error) {
	return call[Hold](ctx, c, http.MethodPost, "/v1/holds", request)
}

// Holds returns all holds.
func (c *Client) Holds(ctx context.Context) ([]Hold, error) {
	return call[[]Hold](ctx, c, http.MethodGet, "/v1/holds", nil)
}

// Release ends a hold.
func (c *Client) Release(ctx context.Context, id string) (Changed, error) {
	return call[Changed](ctx, c, http.MethodDelete, "/v1/holds/"+url.PathEscape(id), nil)
}

// Totals returns counts since the daemon started.
func (c *Client) Totals(ctx context.Context) (Totals, error) {
	return call[Totals](ctx, c, http.MethodGet, "/v1/totals", nil)
}

// Send hands in a message.
func (c *Client) Send(ctx context.Context, request SendRequest) (Sent, error) {
	return call[Sent](ctx, c, http.MethodPost, "/v1/messages", request)
}

// Reload makes the daemon read its configuration again.
func (c *Client) Reload(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, http.MethodPost, "/v1/reload", nil)
	return err
}

// Subject does a privacy duty: find, erase or rectify.
func (c *Client) Subject(ctx context.Context, duty string, request SubjectRequest) (SubjectReport, error) {
	return call[SubjectReport](ctx, c, http.MethodPost, "/v1/subjects/"+url.PathEscape(duty), request)
}

// ErrCut: the daemon broke an answer off, so that what was read is not all.
var ErrCut = errors.New("the daemon broke the answer off: it stopped or failed, or nobody read for too long")

// Export copies what is kept of a subject to w, a JSON object a line. After an
// error, ErrCut among them, the copy is not whole.
func (c *Client) Export(ctx context.Context, request SubjectRequest, w io.Writer) error {
	body, err := c.open(ctx, http.MethodPost, "/v1/subjects/export", request)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return explainCut(err)
}

// Events calls yield for each event after a position, in order, and goes on
// with those to come if follow is set, until yield or ctx ends it; a daemon
// that stops does so with ErrCut.
func (c *Client) Events(ctx context.Context, after uint64, follow bool, yield func(Record) error) error {
	query := url.Values{"after": {strconv.FormatUint(after, 10)}, "follow": {strconv.FormatBool(follow)}}
	body, err := c.open(ctx, http.MethodGet, "/v1/events?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	decoder := json.NewDecoder(body)
	for {
		var record Record
		if err := decoder.Decode(&record); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return explainCut(err)
		}
		if err := yield(record); err != nil {
			return err
		}
	}
}

func call[Answer any](ctx context.Context, c *Client, method, path string, request any) (Answer, error) {
	var answer Answer
	body, err := c.open(ctx, method, path, request)
	if err != nil {
		return answer, err
	}
	defer body.Close()
	return readAnswer[Answer](body)
}

func readAnswer[Answer any](body io.Reader) (answer Answer, err error) {
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return answer, fmt.Errorf("read the daemon's answer: %w", err)
	}
	return answer, nil
}

func (c *Client) open(ctx context.Context, method, path string, request any) (io.ReadCloser, error) {
	var content io.Reader
	if request != nil {
		encoded, err := json.Marshal(request)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(encoded)
	}
	return c.send(ctx, method, path, "application/json", content)
}

// send sends a body of that kind and returns that of the answer.
func (c *Client) send(ctx context.Context, method, path, kind string, content io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://postrider"+path, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", kind)
	response, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if response.StatusCode/100 == 2 {
		return response.Body, nil
	}
	defer response.Body.Close()
	failure := Error{Status: response.StatusCode}
	if err := json.NewDecoder(response.Body).Decode(&failure); err != nil || failure.Message == "" {
		failure.Message = "the daemon answered " + response.Status
	}
	return nil, &failure
}

// explain says what to do about the errors that people meet first.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no daemon answers at %s: is postrider serve running? (--socket names another)", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be opened by this user: run as the daemon's user or as root", c.socket)
	}
	// The URL says nothing to whoever typed a command.
	var inURL *url.Error
	if errors.As(err, &inURL) {
		return fmt.Errorf("ask the daemon: %w", inURL.Err)
	}
	return err
}

func explainCut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return err
}
