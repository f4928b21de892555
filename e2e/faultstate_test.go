package e2e

import "strings"

// state is what the host says of itself.
type state struct {
	flags   []string
	answers string // the release that a request through nginx gets
	slots   map[string]string
}

func (x *trial) state() state {
	x.t.Helper()
	out := x.exec(`echo "flags $(ls /var/lib/deploy-action/shop/active 2>/dev/null | tr '\n' ' ')"
		curl -s -D - -o /dev/null --max-time 5 http://127.0.0.1/version | tr -d '\r' | sed -n 's/^x-release: //ip'
		cd /home/ubuntu/shop/slots && for port in 80*; do echo "$port $(basename "$(readlink "$port")")"; done`)
	lines := strings.Split(out, "\n")
	s := state{slots: map[string]string{}}
	s.flags = strings.Fields(lines[0])[1:]
	for _, line := range lines[1:] {
		if port, release, two := strings.Cut(line, " "); two {
			s.slots[port] = release
		} else {
			s.answers = line
		}
	}
	return s
}

// flag wants exactly one, on the slot that answers.
func (x *trial) flag(s state) {
	x.t.Helper()
	if len(s.flags) != 1 || s.slots[s.flags[0]] != s.answers {
		x.t.Errorf("flags %v; slots %v; %s answers", s.flags, s.slots, s.answers)
	}
}

// quiet wants every verb on the host to end, the holder of the lock too.
func (x *trial) quiet() {
	x.t.Helper()
	if out, err := x.host.Exec(x.ctx, `timeout 30 bash -c "while pgrep -fx 'bash -s -- .*' >/dev/null; do sleep 0.1; done" || { pgrep -afx 'bash -s -- .*'; false; }`); err != nil {
		x.t.Errorf("a verb is still at work: %s", out)
	}
}

// strays fails with the processes of the login user that belong to no unit of the application, no login, and no test.
const strays = `for try in $(seq 50); do
		found=$(for pid in $(pgrep -u ubuntu); do
			grep -qs shop@ /proc/$pid/cgroup || { read -r name </proc/$pid/comm; [[ $name == systemd || $name == '(sd-pam)' || $name == sshd ]] || ps -o pid=,args= -p $pid; } 2>/dev/null
		done)
		[[ -n $found ]] || exit 0
		sleep 0.1
	done; echo "$found"; exit 1`
