package e2e

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/e2e/world"
)

// visitor asks what a row of reports asks.
type visitor struct {
	w    *world.World
	list []ask
}

// asks makes each request once.
func (v *visitor) asks(when string) {
	v.w.T.Helper()
	for _, a := range v.list {
		if wrong := v.answer(v.w.Ctx, a); wrong != "" {
			v.w.T.Errorf("%s: %s", when, wrong)
		}
	}
}

// keepAsking makes them again and again, side by side, until ended is called; that says of each the
// first answer that was wrong.
func (v *visitor) keepAsking() (ended func()) {
	v.w.T.Helper()
	stop := make(chan struct{})
	var all sync.WaitGroup
	wrong, tries := make([]string, len(v.list)), make([]int, len(v.list))
	for i, a := range v.list {
		all.Go(func() {
			for wrong[i] == "" {
				if wrong[i] = v.answer(v.w.Ctx, a); wrong[i] == "" {
					tries[i]++
				}
				select {
				case <-stop:
					return
				case <-time.After(300 * time.Millisecond): // curl takes a tenth of that
				}
			}
		})
	}
	return func() {
		v.w.T.Helper()
		close(stop)
		all.Wait()
		for i, text := range wrong {
			if text != "" {
				v.w.T.Errorf("during the run, after %d right answers: %s", tries[i], text)
			}
		}
	}
}

// answer makes a request over a connection of its own, and says what is wrong with its answer;
// nothing when it is right.
func (v *visitor) answer(ctx context.Context, a ask) (wrong string) {
	a.method = cmp.Or(a.method, map[bool]string{true: http.MethodPost}[a.body != ""], http.MethodGet)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	asked := strings.TrimSpace(fmt.Sprintf("%s /%s %v %s", a.method, strings.TrimPrefix(a.path, "/"), a.header, a.from))
	var status int
	var text string
	var err error
	if a.from != "" {
		status, text, err = v.fromHost(ctx, a)
	} else {
		status, text, err = v.fromOutside(ctx, a)
	}
	if err != nil {
		return fmt.Sprintf("%s: %v", asked, err)
	}
	if want := cmp.Or(a.status, http.StatusOK); status != want {
		return fmt.Sprintf("%s: status %d, want %d\n%s", asked, status, want, text)
	}
	for _, part := range a.has {
		if !strings.Contains(text, part) {
			return fmt.Sprintf("%s: the answer lacks %q:\n%s", asked, part, text)
		}
	}
	for _, part := range a.lacks {
		if strings.Contains(text, part) {
			return fmt.Sprintf("%s: the answer has %q:\n%s", asked, part, text)
		}
	}
	return ""
}

// alone keeps no connection, and follows no redirect.
var alone = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (v *visitor) fromOutside(ctx context.Context, a ask) (status int, text string, err error) {
	req, err := http.NewRequestWithContext(ctx, a.method, v.w.Host.URL()+"/"+strings.TrimPrefix(a.path, "/"),
		strings.NewReader(a.body))
	if err != nil {
		return 0, "", err
	}
	for name, value := range a.header {
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Set(name, value)
		}
	}
	answer, err := alone.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	var head strings.Builder
	if err := answer.Header.Write(&head); err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, head.String() + "\n" + string(body), err
}

// fromHost asks with the host's own curl.
func (v *visitor) fromHost(ctx context.Context, a ask) (status int, text string, err error) {
	args := []string{
		"curl", "-sS", "-i", "-m", "15", "-H", "Expect:", "-o", "-", "-w", quoted(`\n%{http_code}`), "-X",
		a.method, "--interface", a.from,
	}
	for _, name := range slices.Sorted(maps.Keys(a.header)) {
		args = append(args, "-H", quoted(name+": "+a.header[name]))
	}
	if a.body != "" {
		args = append(args, "--data-binary", quoted(a.body))
	}
	args = append(args, quoted("http://127.0.0.1/"+strings.TrimPrefix(a.path, "/")))
	out, err := v.w.Host.Exec(ctx, strings.Join(args, " "))
	if err != nil {
		return 0, "", err
	}
	text, code, _ := cutLast(out, "\n")
	_, err = fmt.Sscan(code, &status)
	return status, text, err
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// merged is both, where the second has the last word.
func merged(first, second map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, first)
	maps.Copy(all, second)
	return all
}
