package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// clockFunctions are those of the scripts that wait for something with a limit of bash's own, and what
// they need.
var clockFunctions = map[string][]string{
	"lib/talk.sh": {"talk_hear"}, "lock.sh": {"beats"}, "lib/probe.sh": {
		"ask_plainly", "plain", "request", "probe_plainly", "whole_answer", "answer_line", "answer_bytes",
		"answer_chunks", "no_plain_one",
	},
	"lib/health.sh": {"asked"}, "lib/base.sh": {"now_ms", "past"},
}

// clockScript waits for what comes right after the clock was set, each time ahead of the last, and prints
// what has come. Where bash holds its limits against the clock (5.2) each is over by then. The pauses give
// who waits the time to begin with it: without them nothing could fail.
const clockScript = `
hours=0 way=() as=shop on_pipe='' pid=1 starttime=1
set_clock() { hours=$((hours + 1)); echo "+${hours}h" >/run/lab-clock.new; mv /run/lab-clock.new /run/lab-clock; }
runs() { :; }
said() { printf '%s: %s\n' "$1" "${*:2}"; }

before=$EPOCHSECONDS
set_clock
if ((EPOCHSECONDS > before + 1800)); then said clock its own; fi

count=0 beat=20
while beats; do count=$((count + 1)); done < <(
	for _ in 1 2 3; do sleep 0.1; set_clock; echo; done
)
said beats "$count"

hours=10 silence=20
while talk_hear; do
	said heard "$talk_kind" "$talk_tag" "$talk_size" "$talk_name"
	: >"/run/heard-$talk_kind"
done < <(
	for line in beat 'feed T' 'verb T 3 x'; do
		sleep 0.1
		set_clock
		printf '%s\n' "$line"
		until [[ -e /run/heard-${line%% *} ]]; do sleep 0.05; done # in the midst of a line it would end it
	done
)

hours=20
for _ in 1 2 3 4 5; do
	probe() { sleep 0.13; set_clock; said=all; return 22; }
	code=0
	asked url host || code=$?
	said asked "$code" "$said"
	hours=$((hours + 1))
done

hours=30 out=''
coproc env -u LD_PRELOAD python3 -u -c '
import os, socket, time
def set_clock(hours):
    with open("/run/lab-clock.new", "w") as clock: clock.write("+%dh\n" % hours)
    os.rename("/run/lab-clock.new", "/run/lab-clock")
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1])
hours = 30
for size in "X: y", "X: y", "Content-Length: 9", "Transfer-Encoding: chunked":
    c, _ = s.accept()
    asked = b""
    while b"\r\n\r\n" not in asked: asked += c.recv(4096) # what is not read resets the connection
    text = "9\r\nall\nof it\r\n0\r\n\r\n" if "chunked" in size else "all\nof it"
    for part in "HTTP/1.1 200 OK\r\n", size + "\r\n\r\n" + text[:5], text[5:]:
        hours += 1
        time.sleep(0.1)
        set_clock(hours)
        c.sendall(part.encode())
    c.close()
'
read -r port <&"${COPROC[0]}"
ask_plainly "http://127.0.0.1:$port/"
said answer "${out//$'\n'/|}"
only_curl=no
for _ in 1 2 3; do
	code=0
	probe_plainly "http://127.0.0.1:$port/" host || code=$?
	said answer "$code" "${out//$'\n'/|}"
done
past 0 # reads, from something else
said then "$((ms > 0))"
`

const clockSaid = `clock: its own
beats: 3
heard: beat   
heard: feed T  
heard: verb T 3 x
asked: 22 all
asked: 22 all
asked: 22 all
asked: 22 all
asked: 22 all
answer: HTTP/1.1 200 OK|X: y||all|of it
answer: 0 HTTP/1.1 200 OK|X: y||all|of it
answer: 0 HTTP/1.1 200 OK|Content-Length: 9||all|of it
answer: 0 HTTP/1.1 200 OK|Transfer-Encoding: chunked||all|of it
then: 1
`

// The host's clock may be set while a run waits for something, as by the first answer of a time server. What
// comes then is no silence, and all of it counts.
func TestWhatComesWhenTheClockIsSet(t *testing.T) {
	w := world.New(t, lab.HostOptions{})
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for file, names := range clockFunctions {
		text, err := os.ReadFile(filepath.Join("..", "scripts", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			function := regexp.MustCompile(`(?ms)^` + name + `\(\) \{$.*?^\}$`).Find(text)
			if function == nil {
				t.Fatalf("%s has no %s", file, name)
			}
			script.Write(function)
			script.WriteByte('\n')
		}
	}
	script.WriteString(clockScript)
	if err := w.Host.WriteFile(w.Ctx, "/root/clock.sh", 0o644, "root", script.String()); err != nil {
		t.Fatal(err)
	}
	// A bash has another clock where somebody before it in the same process had it.
	out := w.Exec(`timeout 60 env LD_PRELOAD="$(echo /usr/lib/*/faketime/libfaketime.so.1)" ` +
		`FAKETIME_TIMESTAMP_FILE=/run/lab-clock FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 ` +
		`sh -c 'exec bash /root/clock.sh' 2>&1 || echo "exit status $?"`)
	if strings.TrimSpace(out) != strings.TrimSpace(clockSaid) {
		t.Errorf("it said\n%s", out)
	}
}
