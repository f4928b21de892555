package scripts

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asking is a host whose nginx answers by the table in its function curl: url is what was asked,
// body yes where a body was sent.
const asking = `verify_host=shop.example any_host=
ask_plainly() { false; }
curl() {
  local url=${*: -1} body=no
  if [[ $* == *--data-binary* ]]; then body=yes; fi
  if [[ $url == https:* ]]; then # to an address, in the name of the site
    [[ $url == https://shop.example/* && $* =~ --connect-to\ ::([^\ ]+):443 ]] || return 35
    url=https://${BASH_REMATCH[1]}/${url#https://*/}
  fi
  answer
}
slot() { printf 'HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\nhttp://my_app_%s 0123456789ab' "$1"; }
page() { printf 'HTTP/1.1 %s\r\n\r\n<html>\nhttp://my_app_8080 0123456789ab' "$1"; }
`

// Nginx's own word is its answer alone, from wherever it can be had.
func TestNginxsOwnWord(t *testing.T) {
	for _, tt := range []struct{ name, answer, want string }{
		{"a kept group", `slot 8081_kept`, "http://my_app_8081 0123456789ab http://127.84.0.1"},
		{"the texts of before", `slot 8081`, "http://my_app_8081 0123456789ab http://127.84.0.1"},
		{
			"only over TLS", `case $url in https:*) slot 8080_kept ;; *) page "301 Moved" ;; esac`,
			"http://my_app_8080 0123456789ab https://127.84.0.1",
		},
		{"an application's page", `page "200 OK"`, "  http://127.84.0.1"},
		{
			"another application of this action", `printf 'HTTP/1.1 200 OK\r\n\r\nhttp://other_8080_kept 0123456789ab'`,
			"  http://127.84.0.1",
		},
		{"a port that is none", `slot 8080x`, "  http://127.84.0.1"},
		{"nobody", `return 7`, "  http://127.84.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := bash(t, "app=my-app\n"+read(t, "lib/base.sh")+read(t,
				"lib/probe.sh")+asking+"answer() { "+tt.answer+"; }\nrouted; printf '%s %s %s' \"$chosen\" "+
				"\"$loaded\" \"$front\"")
			if out != tt.want {
				t.Errorf("it says %q, want %q", out, tt.want)
			}
		})
	}
}

// It holds for everybody only where it is the same at the address that SSH came to and for a
// request with a body; an address at which nothing listens is nobody's.
func TestNginxsWordForAll(t *testing.T) {
	for _, tt := range []struct{ name, ssh, answer, want string }{
		{"the same everywhere", "192.0.2.1 5000 10.0.0.5 22", "slot 8080_kept", "yes"},
		{
			"by IPv6", "2001:db8::1 5000 2001:db8::5 22",
			`case $url in */\[2001:db8::5\]/*) page "404 Not Found" ;; *) slot 8080_kept ;; esac`,
			"no the address [2001:db8::5]",
		},
		{
			"another site there", "192.0.2.1 5000 10.0.0.5 22",
			`case $url in *10.0.0.5*) page "200 OK" ;; *) slot 8080_kept ;; esac`, "no the address 10.0.0.5",
		},
		{
			"a redirect there, and the site over TLS", "192.0.2.1 5000 10.0.0.5 22",
			`case $url in http://10.0.0.5*) page "301 Moved" ;; *) slot 8080_kept ;; esac`, "yes",
		},
		{
			"another slot there", "192.0.2.1 5000 10.0.0.5 22",
			`case $url in *10.0.0.5*) slot 8081_kept ;; *) slot 8080_kept ;; esac`, "no the address 10.0.0.5",
		},
		{
			"nobody there", "192.0.2.1 5000 10.0.0.5 22",
			`case $url in *10.0.0.5*) return 7 ;; *) slot 8080_kept ;; esac`, "yes",
		},
		{"loopback", "127.0.0.1 5000 127.0.0.1 22", "slot 8080_kept", "yes"},
		{"no SSH", "", "slot 8080_kept", "yes"},
		{
			"a link-local address", "fe80::1 5000 fe80::5%eth0 22",
			`case $url in *fe80*) page "200 OK" ;; *) slot 8080_kept ;; esac`, "yes",
		},
		{
			"another answer to a body", "",
			`if [[ $body == yes ]]; then page "405 Not Allowed"; else slot 8080_kept; fi`, "no a request with a body",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := bash(t, "app=my-app\n"+read(t, "lib/base.sh")+read(t,
				"lib/probe.sh")+asking+"SSH_CONNECTION='"+tt.ssh+"'\nanswer() { "+tt.answer+
				"; }\nrouted; if routed_for_all; then printf yes; else printf 'no %s' \"$elsewhere\"; fi")
			if out != tt.want {
				t.Errorf("it says %q, want %q", out, tt.want)
			}
		})
	}
}

// A page of the application's for the path is no count.
func TestWhatIsInHand(t *testing.T) {
	for answer, want := range map[string]string{
		`printf 'HTTP/1.1 200 OK\r\n\r\nidle 0123456789ab'`: "idle",
		`printf 'HTTP/1.1 409 Conflict\r\n\r\n<html>'`:      "busy",
		`printf 'HTTP/1.1 200 OK\r\n\r\nidle ba9876543210'`: "unknown",
		`page "200 OK"`:        "unknown",
		`page "404 Not Found"`: "unknown",
		`return 7`:             "unknown",
	} {
		out := bash(t, "app=my-app\n"+read(t, "lib/base.sh")+read(t,
			"lib/probe.sh")+asking+"front=http://127.84.0.1 loaded=0123456789ab as=shop.example way=()\nanswer() { "+answer+
			"; }\nin_hand 8080; printf '%s' \"$hand\"")
		if out != want {
			t.Errorf("%s is %q, want %q", answer, out, want)
		}
	}
}

// Of a long answer words are shown, and no part of one: it may be a part of a secret.
func TestWhatIsShownOfALongAnswer(t *testing.T) {
	for body, want := range map[string]string{
		"short": "short",
		strings.Repeat("word ", 38) + "key=5ecre7-0f-0ur5": strings.TrimSpace(strings.Repeat("word ", 38)),
		`{"key":"` + strings.Repeat("5ecre7", 40) + `"}`:   `{"key":`,
		strings.Repeat("5ecre7", 40):                       "",
	} {
		out := bash(t, "app=my-app\n"+read(t, "lib/base.sh")+read(t, "lib/probe.sh")+asking+`health_status=200 health_body=''
answer() { printf 'HTTP/1.1 500 No\r\n\r\n%s' '`+body+`'; }
probe http://127.0.0.1/ shop.example || printf '%s' "$said"`)
		if out != `answered 500 "`+want+`"` {
			t.Errorf("of %q: %s", body, out)
		}
	}
}

// Where nginx keeps this host out, the slot itself is asked, and only one whose listener is ours.
func TestPastWhatNginxAsksOfVisitors(t *testing.T) {
	for _, tt := range []struct{ name, answer, owner, want string }{
		{"nginx lets it in", `page "200 OK"`, "ours", "right "},
		{
			"a password", `case $url in *:8080/*) page "200 OK" ;; *) page "401 Unauthorized" ;; esac`, "ours",
			"right 401",
		},
		{"a limit", `case $url in *:8080/*) page "200 OK" ;; *) page "429 Too Many" ;; esac`, "ours", "right 429"},
		{
			"a password, and the application is wrong",
			`case $url in *:8080/*) page "500 No" ;; *) page "401 No" ;; esac`, "ours", "wrong ",
		},
		{"a password of the application's own", `page "401 Unauthorized"`, "ours", "wrong "},
		{
			"a password, and a stranger", `case $url in *:8080/*) page "200 OK" ;; *) page "401 No" ;; esac`, "foreign",
			"wrong ",
		},
		{"a failure", `case $url in *:8080/*) page "200 OK" ;; *) page "502 Bad Gateway" ;; esac`, "ours", "wrong "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := bash(t, "app=my-app\n"+read(t, "lib/base.sh")+read(t, "lib/probe.sh")+asking+
				"answer() { "+tt.answer+"; }\nlistener() { owner="+tt.owner+`; }
health_path=/health health_status=200 health_body='' front=http://127.84.0.1 as=shop.example way=() `+
				`chosen=http://my_app_8080
if probe_through; then printf right; else printf wrong; fi; printf ' %s' "$denied"`)
			if out != tt.want {
				t.Errorf("it is %q, want %q", out, tt.want)
			}
		})
	}
}

// Only a version that is ours, proved and there stands by; what says so leads to its process, and
// goes with it.
func TestWhoStandsBy(t *testing.T) {
	for _, tt := range []struct {
		name, host string
		adopted    bool
		live       bool
		want       bool
	}{
		{"a proved version", "listener() { owner=ours; }; slot_pid() { pid=$$; }", false, true, true},
		{"one that has not proved itself", "listener() { owner=ours; }; slot_pid() { pid=$$; }", false, false, false},
		{"one that does not listen", "listener() { owner=none; }; slot_pid() { pid=$$; }", false, true, false},
		{"a stranger", "listener() { owner=foreign; }; slot_pid() { pid=$$; }", false, true, false},
		{"one without a main process", "listener() { owner=ours; }; slot_pid() { return 1; }", false, true, false},
		{"one that was started by hand", "listener() { owner=ours; }; adopted() { pids=($$); }", true, false, true},
		{
			"several that were started by hand",
			"listener() { owner=ours; }; adopted() { pids=($$ {1..99}); }", true, false, true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.live {
				marker := filepath.Join(dir, "slots", "8080", ".deploy-action")
				if err := os.MkdirAll(marker, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(marker, "live"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out := bash(t, "app=a path="+dir+"\n"+read(t, "lib/base.sh")+read(t, "lib/files.sh")+
				"flags="+dir+"\nadopted() { :; }\n"+tt.host+`
ln -s /etc/passwd "$flags/.standby-8080" # of a run that was killed
stand_by 8080
if [[ -f $flags/.standby-8080 ]]; then readlink "$flags/.standby-8080"; fi
echo $$
stand_down 8080
stand_down 8080
ls -A "$flags" | grep standby || :`)
			pid := strings.TrimSpace(out[strings.LastIndex("\n"+strings.TrimSpace(out), "\n"):])
			want := pid + "\n"
			if tt.want {
				want = fmt.Sprintf("/proc/%s/stat\n%s\n", pid, pid)
			}
			if out != want {
				t.Errorf("it is %q, want %q", out, want)
			}
		})
	}
}

// One answer of nginx's that is late does not end a drain: an upload that it still reads has no
// connection to the slot that could be seen.
func TestADrainGoesByWhatNginxSaysAgainAndAgain(t *testing.T) {
	for answers, want := range map[string]string{
		"idle idle":                      "2 idle yes",
		"unknown busy idle idle":         "4 idle yes",
		"unknown unknown idle busy idle": "6 idle yes", // the last one goes on
		"unknown unknown unknown":        "3 unknown yes",
		"busy":                           "many busy no",
		"unknown busy":                   "many busy no",
	} {
		dir := t.TempDir()
		out := bash(t, "app=a path="+dir+" drain_timeout=2\n"+read(t, "lib/base.sh")+read(t, "lib/probe.sh")+
			read(t, "lib/drain.sh")+"flags="+dir+"\n: >$flags/8081\nanswers=("+answers+`) asked=0
routed() { :; }
sockets() { bound=(); }
result() { if [[ $1 == hand ]]; then said=$2; fi; }
in_hand() {
  hand=${answers[asked < ${#answers[@]} ? asked : -1]}
  asked=$((asked + 1))
}
drain 8080 8081 2>/dev/null
if [[ $said == busy ]]; then asked=many; fi
printf '%s %s %s' "$asked" "$said" "$quiet"`)
		if out != want {
			t.Errorf("%s: it says %q, want %q", answers, out, want)
		}
	}
}

// A version that can't be ended, as without the right to, goes on, and would not be held at a gate
// when it is started again.
func TestAVersionThatCantBeEndedHasNoGate(t *testing.T) {
	dir := t.TempDir()
	out := bash(t, "app=a path="+dir+" drain_timeout=2 stop_timeout=2\n"+read(t, "lib/base.sh")+
		read(t, "lib/replace.sh")+`mkdir $path/slots
: >$path/slots/8080.gate.next
drain() { quiet=no; }
socket_listens() { true; }
unit() {
  [[ -e $path/slots/8080.gate ]] && printf 'at the gate: '
  printf '%s ' "$1"
  [[ $1 != stop ]] || return 7
}
status=0
retire 8080 8081 || status=$?
printf '%s ' "$status"; cd $path/slots; printf %s *`)
	if out != "disable at the gate: stop 7 *" {
		t.Errorf("it says %q", out)
	}
}

// listening is somebody who listens until the test is over, and where.
func listening(t *testing.T) (server net.Listener, address string) {
	t.Helper()
	server, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server, server.Addr().String()
}

// Nginx is asked over a connection of bash's own; where nobody listens curl has the last word.
func TestNginxIsAskedPlainly(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nidle 0123456789ab\r\nmore\r\n\r\n"
	for _, tt := range []struct{ name, body, answer, asked, want string }{
		{
			"an answer", "", ok,
			"GET /a HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: deploy-action\r\nConnection: close\r\n\r\n",
			"0 200 idle 0123456789ab\nmore",
		},
		{
			"to a body", "two words", ok,
			"POST /a HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: deploy-action\r\nConnection: close\r\n" +
				"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\ntwo words",
			"0 200 idle 0123456789ab\nmore",
		},
		{"none", "", "", "GET /a HTTP/1.1\r\n", "0 000 "},
		{"another protocol's", "", "SSH-2.0-OpenSSH_9.2\r\n", "GET /a HTTP/1.1\r\n", "0 000 "},
		{"without an end", "", ok + strings.Repeat("y", 1<<20), "GET /a HTTP/1.1\r\n", "0 200 idle 0123456789ab\nmore"},
		{"nobody", "", "nobody", "", "1 000 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, address := listening(t)
			asked := make(chan string, 1)
			if tt.answer == "nobody" {
				address = fmt.Sprintf("127.0.0.1:%d", spare(t))
				asked <- ""
			} else {
				go func() {
					conn, err := server.Accept()
					if err != nil {
						return
					}
					defer func() { _ = conn.Close() }()
					request := make([]byte, len(tt.asked))
					n, _ := io.ReadFull(conn, request) // bash writes line by line
					asked <- string(request[:n])
					_, _ = io.WriteString(conn, tt.answer)
				}()
			}
			body := ""
			if tt.body != "" {
				body = " '" + tt.body + "'"
			}
			out := bash(t, "app=a as=shop.example way=()\n"+read(t, "lib/base.sh")+read(t, "lib/probe.sh")+
				"curl() { return 7; }\nask_nginx http://"+address+"/a"+body+" && failed=0 || failed=1\n"+
				"printf '%s %s %s' $failed \"$code\" \"${word%%$'\\n\\n'*}\"")
			if got := <-asked; got != tt.asked {
				t.Errorf("it asks %q, want %q", got, tt.asked)
			}
			if out != tt.want {
				t.Errorf("it says %q, want %q", out, tt.want)
			}
		})
	}
}

// What has come is said in one line, and an answer is bounded, whoever gives it.
func TestWhatAProbeHears(t *testing.T) {
	for _, tt := range []struct{ name, curl, want string }{
		{"nobody", `echo 'curl: (7) Failed to connect'; return 7`, "000 curl: (7) Failed to connect"},
		{"silence", `return 28`, "000 no answer"},
		{"right", `printf 'HTTP/1.1 200 OK\r\n\r\nhealthy\n'`, "200 answered 200"},
		{"no body", `printf 'HTTP/1.1 204 No Content\r\n\r\n'`, `204 answered 204 ""`},
		{"another word", `printf 'HTTP/1.1 200 OK\r\nA: b\r\n\r\nill\nat ease\n\n'`, `200 answered 200 "ill at ease"`},
		{"NUL", `printf 'HTTP/1.1 200 OK\r\n\r\nheal\0thy'`, "200 answered 200"},
		{
			"without an end", `printf 'HTTP/1.1 500 No\r\n\r\n'; yes 2>/dev/null`,
			`500 answered 500 "` + strings.Repeat("y ", 99) + "y" + `"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := bash(t, "app=a health_status=200 health_body=healthy\n"+read(t, "lib/base.sh")+read(t,
				"lib/probe.sh")+
				"curl() { "+tt.curl+"; }\nprobe http://127.0.0.1:1/ a || :\nprintf '%s %s' \"$status\" \"$said\"")
			if out != tt.want {
				t.Errorf("%q, want %q", out, tt.want)
			}
		})
	}
}

// An application is asked over a connection of bash's own, in one piece, and curl only where the answer
// is no plain one; what is right or wrong is the same.
func TestAnApplicationIsAskedPlainly(t *testing.T) {
	const ok, chunked = "HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct{ name, path, answer, want string }{
		{"with a length", "/a", ok + "Content-Length: 7\r\n\r\nhealthy", "0 answered 200"},
		{"with a length in other letters", "/a?b=c", ok + "content-length:7\r\n\r\nhealthy", "0 answered 200"},
		{"to the end", "/a", ok + "\r\nhealthy\n\n", "0 answered 200"},
		{"of a server of before", "/a", "HTTP/1.0 200 OK\n\nhealthy", "0 answered 200"},
		{"NUL", "/a", ok + "Content-Length: 9\r\n\r\nheal\x00thy\x00", "0 answered 200"},
		{"wrong status", "/a", "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", `1 answered 503 ""`},
		{"wrong body", "/a", ok + "Content-Length: 4\r\n\r\nill\n", `1 answered 200 "ill"`},
		{"no body", "/a", "HTTP/1.1 204 No\r\n\r\n", `1 answered 204 ""`},
		{"in pieces", "/a", ok + chunked + "4\r\nheal\r\n3;x=y\r\nthy\r\n0\r\nA: b\r\n\r\n", "0 answered 200"},
		{"in pieces that are none", "/a", ok + chunked + "x\r\nhealthy\r\n0\r\n\r\n", "curl curl"},
		{"in pieces, cut off", "/a", ok + chunked + "7\r\nhealthy\r\n", "curl curl"},
		{
			"in large pieces", "/a",
			ok + chunked + "7\r\nhealthy\r\nfff0\r\n" + strings.Repeat("y", 0xfff0) + "\r\n0\r\n\r\n", "curl curl",
		},
		{"in another coding", "/a", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "curl curl"},
		{"cut off", "/a", ok + "Content-Length: 20\r\n\r\nhealthy", "curl curl"},
		{"cut off in its head", "/a", ok + "A: b\r\n", "curl curl"},
		{
			"a line of a head that is too long", "/a",
			ok + strings.Repeat("a", 4095) + "\r\nContent-Length: 0\r\n\r\n", "curl curl",
		},
		{"on the way to another protocol", "/a", "HTTP/1.1 101 No\r\n\r\n", "curl curl"},
		{"a hint before", "/a", "HTTP/1.1 103 Early\r\n\r\n" + ok + "\r\nhealthy", "curl curl"},
		{"another protocol's", "/a", "SSH-2.0-OpenSSH_9.2\r\n", "curl curl"},
		{"long", "/a", ok + "\r\nhealthy" + strings.Repeat("y", 1<<20), "curl curl"},
		{"a length that is none", "/a", ok + "Content-Length: 7, 7\r\n\r\nhealthy", "curl curl"},
		{"a path that curl makes another one of", "/a/../b", "", "curl curl"},
		{"nobody", "/a", "nobody", "curl curl"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, address := listening(t)
			asked := make(chan string, 1)
			if tt.answer == "nobody" {
				address = fmt.Sprintf("127.0.0.1:%d", spare(t))
			} else {
				go func() {
					for {
						conn, err := server.Accept()
						if err != nil {
							return
						}
						request := make([]byte, 1<<10)
						n, _ := conn.Read(request) // once
						asked <- string(request[:n])
						// None is hung up on, not even one that curl is to hear again.
						if _, err := io.WriteString(conn, tt.answer); err != nil && tt.name != "long" {
							t.Errorf("the answer: %v", err)
						}
						if !strings.Contains(tt.answer, "ontent-") && tt.name != "in pieces" || strings.Contains(tt.name, "cut off") {
							_ = conn.Close()
						} // else it is kept open, as some do whatever they are told
					}
				}()
			}
			out := bash(t, "app=a health_status=200 health_body=healthy\n"+read(t, "lib/base.sh")+read(t, "lib/probe.sh")+
				"curl() { echo HTTP/1.1 curl; }\nprobe http://"+address+tt.path+
				" shop.example && failed=0 || failed=1\nif [[ $said == *curl* ]]; then said=curl failed=curl; fi\n"+
				"printf '%s %s' \"$failed\" \"$said\"")
			if out != tt.want {
				t.Errorf("it says %q, want %q", out, tt.want)
			}
			const want = " HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: deploy-action\r\nConnection: close\r\n" +
				"Accept: */*\r\n\r\n"
			if tt.answer == "nobody" || tt.answer == "" {
				return
			}
			if got := <-asked; got != "GET "+tt.path+want {
				t.Errorf("it asks %q, want %q", got, "GET "+tt.path+want)
			}
		})
	}
}

// An application that does not answer in time is not asked again, and one whose answers are no plain
// ones is asked by curl from then on.
func TestWhoIsNotAskedTwice(t *testing.T) {
	script := "app=a health_status=200 health_body=\n" + read(t, "lib/base.sh") + read(t, "lib/probe.sh")
	const never = "exec {never}<> <(:); read -r -u \"$never\"" // without a process that would stay
	late := "curl() { echo asked by curl; }\nlooks=0; past() { ((looks++)); }\n"
	for answer, want := range map[string]string{
		"": "000 timed out: no answer within 5 s", `printf 'HTTP/1.1 200 OK\n\nbegun';`: "200 answered 200",
	} {
		out := bash(t, script+late+"whole_answer() { "+answer+" "+never+"; }\nprobe http://127.0.0.1/a b || :\n"+
			"printf '%s %s' \"$status\" \"$said\"")
		if out != want {
			t.Errorf("after %q it says %q, want %q", answer, out, want)
		}
	}
	for end, want := range map[string]string{"exit 2": "yes answered 200", never: "yes answered 200"} {
		out := bash(t, script+"curl() { printf 'HTTP/1.1 200 OK\\r\\n\\r\\n'; }\n"+
			"whole_answer() { printf 'HTTP/1.1 500 No\\n\\n\\0'; "+end+"; }\n"+
			"probe http://127.0.0.1/a b; whole_answer() { exit 9; }\n"+
			"probe http://127.0.0.1/a b; printf '%s %s' \"$only_curl\" \"$said\"")
		if out != want {
			t.Errorf("%s: it says %q, want %q", end, out, want)
		}
	}
	out := bash(t, script+read(t, "lib/health.sh")+`pid=1 starttime=1
runs() { true; }
curl() { printf 'HTTP/1.1 200 OK\r\n\r\n'; }
whole_answer() { printf '\0'; exit 2; }
asked http://127.0.0.1/ host; printf '%s %s' "$only_curl" "$said"`)
	if out != "yes answered 200" {
		t.Errorf("a new process: it says %q", out)
	}
}

// What asks may be ended, as the kernel does on a host that is short of memory: that is no answer.
func TestAQuestionThatIsEndedHasNoAnswer(t *testing.T) {
	out := bash(t, "app=a\n"+read(t, "lib/base.sh")+read(t, "lib/health.sh")+`pid=1 starttime=1
runs() { true; }
probe() { kill -KILL "$BASHPID"; }
asked http://127.0.0.1/ host 2>&1 || printf 'no answer %s' "$?"`)
	if out != "no answer 1" {
		t.Errorf("it says %q", out)
	}
}
