package e2e

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// example is an application that people copy: the folder of its name, with the workflow of its name.
type example struct {
	name, site string                         // site: the name that visitors know it by
	changes    []change                       // what makes its second version
	gone       string                         // a file that only the first one has
	round      func(g *guest) (string, error) // what a visitor does, over and over; it tells what the version says
	says       [2]string                      // what that is, of each version
	check      func(w *world.World, rounds int)
}

// change puts a text in the place of another one, or into a file that is not there yet.
type change struct{ file, old, text string }

// The runtimes are the distribution's, and all else is what `make prepare` has fetched: the host has
// no network.
var examples = []example{
	{
		name: "express", site: "express.example", says: [2]string{"world", "again"},
		changes: []change{{"server.js", `"world"`, `"again"`}},
		round:   greets,
	},
	{
		name: "django", site: "www.example.com", says: [2]string{"Hello", "Again"},
		changes: []change{
			{"guestbook/templates/guestbook.html", "Hello", "Again"},
			{"guestbook/static/guestbook/style.css", "sans-serif;", "sans-serif;\n  margin: 2em;"}, // by another name
			{"guestbook/models.py", "200)", "200)\n    stars = models.IntegerField(null=True)"},
			{"guestbook/migrations/0002_stars.py", "", `from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("guestbook", "0001_initial")]
    operations = [migrations.AddField("Entry", "stars", models.IntegerField(null=True))]
`},
		},
		round: signs, check: signed,
	},
	{
		name: "nextjs", site: "nextjs.example", says: [2]string{"/", "/again"},
		changes: []change{{"public/robots.txt", "Allow: /", "Allow: /again"}},
		gone:    ".next/static/chunks/first.js",
		round:   loads,
	},
}

// What is in examples, each with its own workflow, is deployed twice, and visitors come meanwhile.
func TestExamplesAreDeployed(t *testing.T) {
	w := world.New(t, lab.HostOptions{Release: lab.Trixie, With: "node"})
	out, err := exec.CommandContext(w.Ctx, filepath.Join(world.Shared.Root, "e2e", "prepare", "examples.sh")).Output()
	if err != nil {
		t.Fatal(err)
	}
	made := strings.TrimSpace(string(out))
	bring(w, filepath.Join(made, "npm"), "/home/ubuntu/.npm")
	if err := w.Host.WriteFile(w.Ctx, "/home/ubuntu/.npmrc", 0o600, "ubuntu", "offline=true\n"); err != nil {
		t.Fatal(err)
	}
	for n, e := range examples {
		t.Run(e.name, func(t *testing.T) { e.try(t, w.In(t), made, 8080+10*n) })
	}
}

// bring puts a folder of this machine onto the host, as ubuntu's.
func bring(w *world.World, folder, to string) {
	w.T.Helper()
	archive, err := exec.CommandContext(w.Ctx, "tar", "-C", folder,
		"--owner=ubuntu:1000", "--group=ubuntu:1000", "-c", ".").Output()
	if err != nil {
		w.T.Fatal(err)
	}
	if err := w.Host.WriteFile(w.Ctx, "/var/tmp/brought", 0o600, "root", string(archive)); err != nil {
		w.T.Fatal(err)
	}
	w.Exec("mkdir " + to + " && tar -C " + to + " -xf /var/tmp/brought && " +
		"chown -R ubuntu: " + to + " && rm /var/tmp/brought")
}

// try tries one of them. What its workflow builds on the runner is in made.
func (e example) try(t *testing.T, w *world.World, made string, port int) {
	t.Helper()
	with := merged(inputsOf(t, e.name), map[string]string{
		"app": e.name, "ports": fmt.Sprintf("%d,%d", port, port+1), "server-name": e.site,
		"stop-timeout":  "30s",
		"nginx-include": "/etc/nginx/conf.d/" + e.name + "-url.inc",
	})
	from, folder := filepath.Join(world.Shared.Root, "examples", e.name), filepath.Join(t.TempDir(), e.name)
	if path := with["workspace-path"]; path != "" {
		from, folder = filepath.Join(made, filepath.Base(path)), filepath.Join(w.Runner.Workspace, path)
	}
	if err := os.CopyFS(folder, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if e.gone != "" {
		writeFile(t, filepath.Join(folder, e.gone), "// of the first version")
	}
	deploy(w, folder, with)
	v := e.visit(w)
	v.wait(e.says[0], 20)
	for _, c := range e.changes {
		c.make(t, folder)
	}
	if e.gone != "" {
		if err := os.Remove(filepath.Join(folder, e.gone)); err != nil {
			t.Fatal(err)
		}
	}
	result := deploy(w, folder, with)
	v.wait(e.says[1], 20)
	rounds := v.end()
	if result.Outputs["active-port"] != strconv.Itoa(port+1) {
		t.Errorf("the second version is on port %s", result.Outputs["active-port"])
	}
	// It ended by itself, at once, and not by SIGKILL.
	out := w.Exec(fmt.Sprintf("journalctl --sync; journalctl --no-pager -u %s@%d", e.name, port))
	if !strings.Contains(out, "Deactivated successfully") {
		t.Errorf("how the first version ended:\n%s", out)
	}
	if e.check != nil {
		e.check(w, rounds)
	}
}

// deploy deploys what is in the folder, by way of the server or as a part of the workspace.
func deploy(w *world.World, folder string, with map[string]string) *lab.Result {
	w.T.Helper()
	sha := strings.Repeat("1", 40)
	if with["source"] != "workspace" {
		var err error
		if sha, err = w.Repo.Commit(w.Ctx, "a version", os.DirFS(folder), nil); err != nil {
			w.T.Fatal(err)
		}
	}
	return w.Deploy(sha, with)
}

func (c change) make(t *testing.T, folder string) {
	t.Helper()
	file := filepath.Join(folder, c.file)
	before, err := os.ReadFile(file)
	if err != nil && c.old != "" || strings.Count(string(before), c.old) != 1 {
		t.Fatalf("%s has %q not once: %v", c.file, c.old, err)
	}
	writeFile(t, file, strings.ReplaceAll(string(before), c.old, c.text))
}

// inputsOf are those of an example's workflow, but for how the host is reached.
func inputsOf(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(world.Shared.Root, "examples", "workflows", name+".yml"))
	if err != nil {
		t.Fatal(err)
	}
	var workflow struct {
		Jobs struct {
			Deploy struct {
				Steps []struct {
					Uses string
					With map[string]string
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatal(err)
	}
	with := map[string]string{}
	for _, step := range workflow.Jobs.Deploy.Steps {
		if !strings.HasPrefix(step.Uses, "clothesme/deploy-action@") {
			continue
		}
		for input, value := range step.With {
			with[input] = strings.ReplaceAll(value, "${{ secrets.SECRET_KEY }}",
				"Ab3-56789-Cd3-56789-Ef3-56789-Gh3-56789-Ij3-56789-k")
		}
	}
	for _, input := range []string{"host", "key", "known-hosts"} {
		if !strings.HasPrefix(with[input], "${{ ") {
			t.Errorf("%s.yml gives %s as %q", name, input, with[input])
		}
		delete(with, input)
	}
	if len(with) < 3 || strings.Contains(fmt.Sprint(with), "${{") {
		t.Fatalf("%s.yml gives %v", name, with)
	}
	return with
}

// guest is a visitor, with a browser's memory and none of its patience.
type guest struct {
	client *http.Client
	site   string // http://name
	style  string // the path of the first style sheet that it met
}

// get returns a page; anything but status 200 is an error.
func (g *guest) get(path string) (string, error) { return g.do(http.MethodGet, path, nil) }

func (g *guest) do(method, path string, form url.Values) (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, g.site+path, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", g.site)
	}
	answer, err := g.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: status %d: %.300s", method, path, answer.StatusCode, body)
	}
	if err != nil {
		return "", err
	}
	return string(body), nil
}

// find gets a page, and returns what the expression's first group matches in it.
func (g *guest) find(path, expression string) (string, error) {
	page, err := g.get(path)
	if err != nil {
		return "", err
	}
	return within(page, expression)
}

func within(page, expression string) (string, error) {
	m := regexp.MustCompile(expression).FindStringSubmatch(page)
	if m == nil {
		return "", fmt.Errorf("no %s in %s", expression, page)
	}
	return m[1], nil
}

// visits are guests who come one after the other, four at a time.
type visits struct {
	w    *world.World
	stop chan struct{}
	done sync.WaitGroup
	once sync.Once

	mu     sync.Mutex
	said   map[string]int
	failed []error
}

func (e example) visit(w *world.World) *visits {
	v := &visits{w: w, stop: make(chan struct{}), said: map[string]int{}}
	w.T.Cleanup(func() {
		if w.T.Failed() {
			v.end()
		}
	})
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(w.Host.IP, "80"))
	}
	for range 4 {
		v.done.Go(func() {
			jar, err := cookiejar.New(nil)
			g := &guest{site: "http://" + e.site, client: &http.Client{
				Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
			}}
			pause := time.NewTicker(200 * time.Millisecond)
			defer pause.Stop()
			for said := ""; err == nil; v.count(said, err) {
				select {
				case <-v.stop:
					return
				case <-pause.C:
				}
				said, err = e.round(g)
			}
		})
	}
	return v
}

func (v *visits) count(said string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.failed = append(v.failed, err)
	} else {
		v.said[said]++
	}
}

// wait waits until so many more rounds have met the version that says this, or one has failed.
func (v *visits) wait(said string, more int) {
	v.w.T.Helper()
	now := func() (int, []error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.said[said], v.failed
	}
	begin, failed := now()
	for deadline := time.Now().Add(time.Minute); len(failed) == 0; time.Sleep(20 * time.Millisecond) {
		n := 0
		if n, failed = now(); n >= begin+more {
			return
		}
		if time.Now().After(deadline) {
			v.w.T.Fatalf("%d rounds in a minute met %q", n-begin, said)
		}
	}
	v.w.T.Fatal("a round failed") // which one, the end tells
}

// end sends them home, and returns how many rounds there were.
func (v *visits) end() (rounds int) {
	v.w.T.Helper()
	v.once.Do(func() { close(v.stop) })
	v.done.Wait()
	for said, n := range v.said {
		v.w.T.Logf("%d rounds met %q", n, said)
		rounds += n
	}
	if len(v.failed) > 0 {
		v.w.T.Errorf("%d rounds failed: %v", len(v.failed), v.failed)
	}
	return rounds
}

// greets wants to be greeted as who it is: nginx says that, and is not taken for the visitor itself.
func greets(g *guest) (string, error) {
	page, err := g.get("/")
	if err != nil {
		return "", err
	}
	if strings.Contains(page, `"you":"127.`) {
		return "", fmt.Errorf("the visitor is taken for nginx: %s", page)
	}
	return within(page, `^\{"hello":"(\w+)","you":"[0-9.]+","protocol":"http"\}$`)
}

// signs looks at the guestbook and the style sheet that it names, and signs it.
func signs(g *guest) (string, error) {
	page, err := g.get("/")
	if err != nil {
		return "", err
	}
	style, err := within(page, `href="(/static/guestbook/style\.[0-9a-f]{12}\.css)"`)
	if err != nil {
		return "", err
	}
	g.style = cmp.Or(g.style, style)
	// A page that was opened before the switch may come to ask for it after.
	for _, path := range []string{style, g.style} {
		if _, err := g.find(path, `(sans-serif)`); err != nil {
			return "", err
		}
	}
	token, err := within(page, `name="csrfmiddlewaretoken" value="(\w+)"`)
	if err != nil {
		return "", err
	}
	page, err = g.do(http.MethodPost, "/", url.Values{"csrfmiddlewaretoken": {token}, "text": {token}})
	if err == nil && !strings.Contains(page, "<p>"+token+"</p>") {
		err = fmt.Errorf("no %s in %s", token, page)
	}
	if err != nil {
		return "", err
	}
	return within(page, `<h1>(\w+)</h1>`)
}

// loads loads the page with a script of it, one that a page asks for which was opened before the
// switch, and what is in public.
func loads(g *guest) (string, error) {
	script, err := g.find("/", `<h1>Hello</h1>.* src="(/_next/static/chunks/[^"]+\.js\?dpl=example)"`)
	if err == nil {
		_, err = g.get(script)
	}
	if err == nil {
		_, err = g.find("/_next/static/chunks/first.js", `(of the first version)`)
	}
	if err != nil {
		return "", err
	}
	return g.find("/robots.txt", `Allow: (\S+)`)
}

// signed wants each of these entries to be there once, and forms to be taken by HTTPS, too.
func signed(w *world.World, rounds int) {
	w.T.Helper()
	out := w.Exec("python3 -c 'import sqlite3; print(*sqlite3.connect(\"/home/ubuntu/django/shared/data/db.sqlite3\")" +
		".execute(\"select count(*), count(distinct text), count(stars) from guestbook_entry\").fetchone())'")
	if want := fmt.Sprintf("%d %[1]d 0", rounds); out != want {
		w.T.Errorf("entries, different ones, and stars: %q, want %q", out, want)
	}
	out = w.Exec(`cd /tmp && ask() { curl -fsS -b jar -c jar -H 'Host: www.example.com' ` +
		`-H 'X-Forwarded-Proto: https' "$@" http://127.0.0.1:8091/; }
token=$(ask | sed -n 's/.*csrfmiddlewaretoken" value="\([^"]*\).*/\1/p')
ask -w '%{http_code}' -H 'Origin: https://www.example.com' -H 'Referer: https://www.example.com/' ` +
		`-d "csrfmiddlewaretoken=$token&text=x"`)
	if out != "302" {
		w.T.Errorf("a form that came by HTTPS: %q", out)
	}
}
