package faults

import "strings"

// state is what the host says of itself.
type state struct {
	flags   []string
	answers string // the release that a request through nginx gets
	slots   map[string]string
}

func (x *trial) state() state {
	x.T.Helper()
	out := x.Exec(`echo "flags $(ls /var/lib/deploy-action/shop/active 2>/dev/null | tr '\n' ' ')"
		curl -s -D - -o /dev/null --max-time 30 http://127.0.0.1/version | tr -d '\r' | sed -n 's/^x-release: //ip'
		cd /home/ubuntu/shop/slots 2>/dev/null || exit 0; ` +
		`for port in 80*; do [ -L "$port" ] || continue; echo "$port $(basename "$(readlink "$port")")"; done`)
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
	x.T.Helper()
	if len(s.flags) != 1 || s.slots[s.flags[0]] != s.answers {
		x.T.Errorf("flags %v; slots %v; %s answers", s.flags, s.slots, s.answers)
	}
}

// free wants the deploy lock to be free within a minute of the run's end, without anybody's help.
func (x *trial) free() {
	x.T.Helper()
	if out, err := x.Host.Exec(x.Ctx,
		`cd /home/ubuntu && { [[ ! -e shop/.lock ]] || flock -w 60 shop/.lock true || `+
			`{ cat shop/.lock.holder; false; }; }`); err != nil {
		x.T.Errorf("the deploy lock is not free a minute after the run's end: %v %s", err, out)
	}
}

// quiet wants every verb on the host to end, the holder of the lock too.
func (x *trial) quiet() {
	x.T.Helper()
	if out, err := x.Host.Exec(x.Ctx,
		`timeout 30 bash -c "while pgrep -fx 'bash -s -- .*' >/dev/null; do sleep 0.1; done" || `+
			`{ pgrep -afx 'bash -s -- .*'; false; }`); err != nil {
		x.T.Errorf("a verb is still at work: %s", out)
	}
}

// tidy wants one version on the pair of ports, in the unit of the active slot, and no process that
// is nobody's.
func (x *trial) tidy(s state) {
	x.T.Helper()
	if out, err := x.Host.Exec(x.Ctx, strays); err != nil {
		x.T.Errorf("processes of nobody: %s", out)
	}
	if len(s.flags) != 1 {
		return // said already
	}
	out := x.Exec(listeners)
	if want := s.flags[0] + " shop@" + s.flags[0]; out != want {
		x.T.Errorf("on the pair of ports listen, by their units:\n%s\nwant just %s", out, want)
	}
	out = x.Exec(workers)
	if want := "shop.process@" + s.flags[0] + "-ticker.service"; out != want {
		x.T.Errorf("workers run:\n%s\nwant just %s", out, want)
	}
}

// workers are the units of those that run.
const workers = `systemctl list-units --plain --no-legend --state=active,activating 'shop.process@*' | cut -d ' ' -f 1`

// listeners are the pair's ports on which something listens, each with the unit it belongs to.
const listeners = `ss -Hltnp 'sport = :8080 or sport = :8081' | while read -r _ _ _ local _ users; do
		for pid in $(grep -o 'pid=[0-9]*' <<<"$users" | cut -d= -f2 | grep -vx 1); do ` +
	`# systemd holds a socket for one version at a time
			echo "${local##*:} $(grep -om1 'shop@[0-9]*' "/proc/$pid/cgroup" || ps -o pid=,args= -p "$pid")"
		done
	done | sort -u`

// strays fails with the processes of the login user that belong to no unit of the application, no
// login, and no test.
const strays = `for try in $(seq 300); do
		found=$(for pid in $(pgrep -u ubuntu); do
			grep -qsE 'shop(\.process)?@' /proc/$pid/cgroup || { read -r name </proc/$pid/comm; ` +
	`[[ $name == systemd || $name == '(sd-pam)' || $name == sshd ]] || ps -o pid=,args= -p $pid; } 2>/dev/null
		done)
		[[ -n $found ]] || exit 0
		sleep 0.1
	done; echo "$found"; exit 1`
