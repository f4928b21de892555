package docs

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

type recipe struct {
	If  string            `yaml:"if"`
	Env map[string]string `yaml:"env"`
	Run string            `yaml:"run"`
}

// notification returns the step below a heading of notifications.md.
func notification(t *testing.T, heading string) recipe {
	t.Helper()
	text, err := os.ReadFile("notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## "+heading+"\n")
	found := yamlBlock.FindStringSubmatch(section)
	var steps []recipe
	if found == nil || yaml.Unmarshal([]byte(found[1]), &steps) != nil || len(steps) != 2 {
		t.Fatalf("no step below %s", heading)
	}
	return steps[1]
}

// do runs a step as the runner's bash does, with values that would like to be more than text.
func (r recipe) do(t *testing.T, values map[string]string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", r.Run)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	for name, value := range r.Env {
		if given, ok := values[name]; ok {
			value = given
		} else if strings.Contains(value, "${{") {
			value = hostileValue
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", r.Run, err, out)
	}
}

const hostileValue = "\"}'; exit 1 # $(exit 1) \\"

func TestNotificationsAreHeard(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq, which GitHub's runners have, is not installed")
	}
	for heading, field := range map[string]string{"Slack": "text", "Discord": "content"} {
		t.Run(heading, func(t *testing.T) {
			var heard map[string]any
			hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(r.Body).Decode(&heard) != nil {
					t.Errorf("the hook got a %s", r.Header.Get("Content-Type"))
				}
			}))
			defer hook.Close()
			notification(t, heading).do(t, map[string]string{
				"HOOK": hook.URL, "OUTCOME": "deployed", "URL": "http://203.0.113.7/",
			})
			text, _ := heard[field].(string)
			for _, want := range []string{"deployed", "http://203.0.113.7/", hostileValue} {
				if !strings.Contains(text, want) {
					t.Errorf("the hook got %v, without %s", heard, want)
				}
			}
			if mentions, _ := heard["allowed_mentions"].(map[string]any); heading == "Discord" && mentions["parse"] == nil {
				t.Errorf("a message may call everyone: %v", heard)
			}
		})
	}
}

func TestMailIsSent(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	sent := make(chan string, 1)
	go func() { sent <- mailServer(listener) }()
	notification(t, "Mail").do(t, map[string]string{
		"MAIL_URL": "smtp://" + listener.Addr().String(), "MAIL_USER": "me", "MAIL_PASSWORD": "secret",
		"OUTCOME": "failed", "SITE": "unchanged", "URL": "http://203.0.113.7/",
	})
	select {
	case text := <-sent:
		for _, want := range []string{
			"MAIL FROM:<deploy@example.com>", "RCPT TO:<team@example.com>",
			"Subject: deployment failed, site unchanged\r\n", "http://203.0.113.7/\r\n", hostileValue,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the server heard, without %q:\n%s", want, text)
			}
		}
	case <-time.After(time.Minute):
		t.Error("no mail came")
	}
}

// mailServer speaks as much of SMTP as one mail takes, and returns all that it heard.
func mailServer(listener net.Listener) string {
	conn, err := listener.Accept()
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	var heard strings.Builder
	answer := func(line string) { _, _ = fmt.Fprintf(conn, "%s\r\n", line) }
	answer("220 test")
	lines, data := bufio.NewReader(conn), false
	for {
		line, err := lines.ReadString('\n')
		heard.WriteString(line)
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case err != nil && err != io.EOF:
			return heard.String() + err.Error()
		case err == io.EOF || word == "QUIT":
			answer("221 bye")
			return heard.String()
		case data && word != ".":
		case word == "EHLO":
			answer("250-test\r\n250 AUTH PLAIN")
		case word == "AUTH":
			answer("334 ")
			_, _ = lines.ReadString('\n')
			answer("235 in")
		case word == "DATA":
			data = true
			answer("354 go on")
		default:
			data = false
			answer("250 ok")
		}
	}
}
