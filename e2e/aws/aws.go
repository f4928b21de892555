// Package aws is what stands before moto, which is in the place of AWS for a lab: it knows what moto
// does not, such as where an instance really is. Signatures and policies are moto's.
package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bridge passes calls on to moto, and changes some of its answers.
type Bridge struct {
	url    string
	server *http.Server

	mu     sync.Mutex
	really []string // for a strings.Replacer: what moto says, and what is so
	after  map[string]func(*Call)
	own    map[string]func(*Call)
	fails  map[string]*failing
	calls  map[string]int
	often  map[string]bool // actions that were asked for too often; nil: nobody counts

	policy  *Policy // of the step, nil for any
	account string
	tags    map[string]string // of instances
	made    map[string]string // of the images that are made of them, and of snapshots
}

// Call is one that moto has answered.
type Call struct {
	Action string     // such as DescribeInstances
	Form   url.Values // of services that take one
	Body   []byte     // as it came
	Status int        // of the answer, which may be changed as its text
	Answer []byte
}

type failing struct {
	code   string
	status int
	times  int
}

// Serve listens on an address until Close; moto is a URL.
func Serve(ctx context.Context, address, moto string) (*Bridge, error) {
	to, err := url.Parse(moto)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for AWS: %w", err)
	}
	b := &Bridge{
		url:   "http://" + listener.Addr().String(),
		after: map[string]func(*Call){}, own: map[string]func(*Call){}, fails: map[string]*failing{},
		calls: map[string]int{},
	}
	b.server = &http.Server{Handler: b.handler(to), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = b.server.Serve(listener) }()
	return b, nil
}

// URL is where AWS is, for AWS_ENDPOINT_URL.
func (b *Bridge) URL() string { return b.url }

// Close ends it.
func (b *Bridge) Close() error { return b.server.Close() }

// Really has answers say what is so where moto has made something up: the address of an instance.
func (b *Bridge) Really(made, so string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.really = append(b.really, ">"+made+"<", ">"+so+"<", `"`+made+`"`, `"`+so+`"`)
}

// After has do told of each call of an action that moto allows.
func (b *Bridge) After(action string, do func(*Call)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.after[action] = do
}

// Answer has an action that moto does not know answered in its place; of a call that is signed, and
// that a policy allows. The call has status 200 and no text before.
func (b *Bridge) Answer(action string, do func(*Call)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.own[action] = do
}

// Fail has the next calls of an action fail by a code of AWS's; "" is its service's for too many calls.
func (b *Bridge) Fail(action, code string, status, times int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fails[action] = &failing{code, status, times}
}

// Throttle has the next call of each action be one too many, once, as its service says that.
func (b *Bridge) Throttle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.often = map[string]bool{}
}

// Throttled are the actions of which a call was one too many since Throttle, which ends.
func (b *Bridge) Throttled() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := slices.Sorted(maps.Keys(b.often))
	b.often = nil
	return all
}

// tooMany is the code by which services say so: EC2's, that of those that talk JSON, and the others'.
func tooMany(call *Call, service string) (code string, status int) {
	switch {
	case call.Form == nil:
		return "ThrottlingException", http.StatusBadRequest
	case service == "ec2":
		return "RequestLimitExceeded", http.StatusServiceUnavailable
	}
	return "Throttling", http.StatusBadRequest
}

// Calls is how often an action was asked for so far.
func (b *Bridge) Calls(action string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[action]
}

func (b *Bridge) handler(to *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { // what is signed names this address
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
			r.Out.Header.Del("Accept-Encoding")
		},
		ModifyResponse: b.answered,
		ErrorLog:       log.New(io.Discard, "", 0), // of a client that is gone
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		call := &Call{Action: r.Header.Get("X-Amz-Target"), Body: body}
		call.Action = call.Action[strings.LastIndex(call.Action, ".")+1:]
		if call.Action == "" {
			call.Form, _ = url.ParseQuery(string(body))
			call.Action = call.Form.Get("Action")
		}
		if code, status := b.failsNow(call, r); code != "" {
			w.WriteHeader(status)
			const why = "as the test wants it"
			if call.Form == nil {
				_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": why})
				return
			}
			_, _ = fmt.Fprintf(w, "<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors>"+
				"</Response>", code, why)
			return
		}
		if why := b.refuses(call, r); why != "" {
			refuse(w, call, why)
			return
		}
		b.mu.Lock()
		own := b.own[call.Action]
		b.mu.Unlock()
		if own != nil {
			call.Status = http.StatusOK
			own(call)
			w.WriteHeader(call.Status)
			_, _ = w.Write(call.Answer)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, call)))
	})
}

type callKey struct{}

// failsNow counts a call, and says how it fails; no code: not so.
func (b *Bridge) failsNow(call *Call, r *http.Request) (code string, status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[call.Action]++
	service := ""
	if found := scope.FindStringSubmatch(r.Header.Get("Authorization")); found != nil {
		service = found[2]
	}
	if b.often != nil && !b.often[call.Action] {
		b.often[call.Action] = true
		return tooMany(call, service)
	}
	f := b.fails[call.Action]
	if f == nil || f.times == 0 {
		return "", 0
	}
	f.times--
	if f.code == "" {
		return tooMany(call, service)
	}
	return f.code, f.status
}

func (b *Bridge) answered(r *http.Response) error {
	call := r.Request.Context().Value(callKey{}).(*Call) //nolint:errcheck,forcetypeassert // handler put it there
	text, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return err
	}
	b.mu.Lock()
	after, really := b.after[call.Action], strings.NewReplacer(b.really...)
	b.mu.Unlock()
	call.Status, call.Answer = r.StatusCode, []byte(really.Replace(string(text)))
	if after != nil && call.Status == http.StatusOK {
		after(call)
	}
	r.StatusCode, r.Status = call.Status, ""
	r.Body = io.NopCloser(bytes.NewReader(call.Answer))
	r.ContentLength = int64(len(call.Answer))
	r.Header.Set("Content-Length", strconv.Itoa(len(call.Answer)))
	return nil
}
