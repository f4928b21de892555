package faults

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// fault is what may come over a deployment.
type fault struct {
	name       string
	impossible string // what of the users' requests it makes impossible by itself; empty: nothing
	// what the annotation of a run that fails of it must match; empty: the run must not fail
	says    string
	before  func(x *trial) error // the run begins; may be nil
	come    func(x *trial) error // at the place
	lift    func(x *trial) error // when the run has ended
	at      func(place) bool     // where it means something; nil: everywhere
	host    lab.HostOptions
	with    map[string]string // inputs of the run
	files   map[string]string // of its release
	closes  bool              // idle connections of users end, which they may be told by an end of file alone
	mute    bool              // nobody hears what the run says
	hangs   bool              // the step it comes to goes on when the run has ended
	late    bool              // or, even later, in the middle of the next run
	flags   bool              // the flags are not right before the next run
	down    bool              // the site is down until the next run
	mended  bool              // the next run reloads nginx to mend it
	first   bool              // the host was never deployed to, and each trial has one of its own
	inPlace bool              // one version runs at a time, and visitors wait meanwhile
	sent    bool              // the release comes from the runner's workspace
	again   bool              // the next run has the same inputs
	stays   bool              // the run keeps its connection to its end
	healed  func(x *trial, next *lab.Result)
	telling []string // the places that every test run takes
}

// on is a fault that a script on the host makes. It knows the ports and the release that were
// active and idle before the run.
func on(script string) func(x *trial) error {
	return func(x *trial) error {
		active := "8081" // a first deployment goes to the other
		if len(x.was.flags) > 0 {
			active = x.was.flags[0]
		}
		idle := map[string]string{"8080": "8081", "8081": "8080"}[active]
		_, err := x.Host.Exec(x.Ctx, fmt.Sprintf("set -e; active=%s idle=%s release=%s root=/home/ubuntu/shop "+
			"flags=/var/lib/deploy-action/shop/active\n%s",
			active, idle, x.was.answers, script))
		return err
	}
}

// crash ends the version of a slot, which has to run there: but for what one at a time leaves out, and for
// the old one once it is stopped.
func crash(slot string) func(x *trial) error {
	return func(x *trial) error {
		gone := "false"
		if x.fault.inPlace || x.place.String() == "inside stop" {
			gone = "[[ ! -e $flags/$" + slot + " ]]"
		}
		return on(`unit=shop@$` + slot + `; pid=$(systemctl show -p MainPID --value "$unit")
			if ((pid > 0)); then systemctl kill -s KILL "$unit"; else ` + gone + `; fi
			timeout 60 bash -c "while [[ -e /proc/$pid/exe ]]; do sleep 0.05; done"`)(x)
	}
}

func anyOf(all ...func(place) bool) func(place) bool {
	return func(p place) bool {
		for _, one := range all {
			if one(p) {
				return true
			}
		}
		return false
	}
}

func before(step string) func(place) bool {
	return func(p place) bool { return p.step == step && !p.inside }
}

func only(one place) func(place) bool { return func(p place) bool { return p == one } }

// firstTime are the places of a deployment over nothing.
func firstTime(p place) bool {
	return p != after && p.step != "clear" && p.step != "drain" && p.step != "stop" && p.String() != "before lock"
}

// ownClock gives what the run starts on the host a clock of its own, which jumps by what
// /run/lab-clock says. The kernel's and the files' times stay the machine's. A bash has it only where
// somebody who already has it has made what they share.
func ownClock(x *trial) error {
	return on(machinesClock + `
		library=$(ls /usr/lib/*/faketime/libfaketime.so.1)
		systemd-run --quiet --unit=lab-clock-first --uid=ubuntu env LD_PRELOAD="$library" \
			FAKETIME_TIMESTAMP_FILE=/run/lab-clock sleep infinity
		until shared=$(basename /dev/shm/faketime_shm_*) && [[ -e /dev/shm/sem.${shared/shm/sem} ]]; do sleep 0.05; done
		echo "SetEnv BASH_ENV=` + lab.HoldScript + ` LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE=/run/lab-clock` +
		` FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 \"FAKETIME_SHARED=/${shared/shm/sem} /$shared\"" \
			>/etc/ssh/sshd_config.d/70-lab.conf
		sshd -t; systemctl reload ssh`)(x)
}

const machinesClock = `systemctl stop lab-clock-first 2>/dev/null || :
	rm -f /run/lab-clock /dev/shm/*faketime*`

func machineClock(x *trial) error {
	return errors.Join(x.Host.MakePlaces(x.Ctx), on(machinesClock)(x))
}

// cancel asks as the runner does, and no more: the third signal, which ends what shows the log, would
// keep from us what a run says that takes itself back on a machine that is full.
func cancel(x *trial) error {
	err := x.running.Signal(os.Interrupt)
	go func() { _ = x.running.Ask() }()
	return err
}

func underWay(p place) bool { return p != after }

const (
	first  = "all until the first version is live"
	lost   = `(?i)connection|lost|reset|silent|keepalive`
	halt   = lost + "|restarted"
	reload = "idle connections are closed by nginx, and a request may be on its way on one"
)

// small is a host whose deploy root and other folders are file systems of their own.
var small = lab.HostOptions{Tmpfs: map[string]string{
	"/home/ubuntu/shop":      "size=600m,nr_inodes=60000,uid=1000,gid=1000,mode=755,exec",
	"/var/lib/deploy-action": "size=1m,mode=755", "/tmp": "size=8m",
}}

// fill leaves no byte free in a folder's file system; what it wrote is removed by free.
func fill(dir string) func(*trial) error {
	return on("dd if=/dev/zero of=" + dir + "/full bs=64k status=none 2>/dev/null || test -s " + dir + "/full")
}

func free(dir string) func(*trial) error { return on("rm -rf " + dir + "/full") }

// freeze stops every process of the host for a time.
func freeze(x *trial) error {
	limit := 20 * time.Second
	if *faultPlaces == "all" {
		limit = time.Minute
	}
	if err := x.Host.Pause(x.Ctx); err != nil {
		return err
	}
	select {
	case <-time.After(limit):
	case <-x.Ctx.Done():
	}
	return x.Host.Unpause(x.Ctx)
}

func swallow(up, down bool) func(*trial) error {
	return overLink(func(x *trial) { x.link.Swallow(up, down) })
}

// overLink is a fault of the connections that the run has over its link, which has to have one.
func overLink(do func(*trial)) func(*trial) error {
	return func(x *trial) error {
		if x.place != after && x.link.Open() == 0 {
			return errors.New("the run has no connection over its link")
		}
		do(x)
		return nil
	}
}

func slow(delay time.Duration, rate int64) func(*trial) error {
	return func(x *trial) error { x.link.Slow(delay, rate); return nil }
}

func resetAll(x *trial) error { x.link.Reset(); return nil }

// faults are all that the suite knows, in the order of the report.
func faults() []fault { return slices.Concat(withTwoVersions(), withOne(), fromWorkspace()) }

// fromWorkspace are those that may come while the runner sends the release. Without assets and hooks what
// starts it goes along with what builds it.
func fromWorkspace() []fault {
	telling := map[string][]string{
		"runner killed": {"inside receive"}, "job cancelled": nil, "a step hangs until the run's time is over": nil,
		"connection reset": {"before build"}, "black hole, both ways": {"inside receive"}, "power cut": nil,
	}
	var all []fault
	for _, f := range withTwoVersions() {
		if told, found := telling[f.name]; found {
			f.name, f.sent, f.telling = "workspace, "+f.name, true, told
			f.at = func(p place) bool {
				return slices.Contains([]string{"setup", "offer", "receive", "build", "start", "health"}, p.step)
			}
			all = append(all, f)
		}
	}
	return all
}

// always are the inputs of every run on a fault's host.
func (f fault) always() map[string]string {
	switch {
	case f.inPlace:
		return map[string]string{"strategy": "in-place"}
	case f.sent:
		return map[string]string{"source": "workspace", "assets": "", "before-start": "", "after-switch": ""}
	}
	return nil
}

// withOne are those that may come while visitors wait for a version, or meet one that has not
// proved itself.
func withOne() []fault {
	telling := map[string][]string{
		"runner killed": {"inside replace"}, "job cancelled": nil, "a step hangs until the run's time is over": nil,
		"connection reset": {"before replace"}, "black hole, both ways": {"inside replace"}, "host rebooted": nil,
		"power cut":   {"inside replace"},
		"host frozen": nil, "disk full (deploy root)": nil, "deploy root read-only": nil, "nginx restarted": nil,
		"flag deleted":        nil,
		"old version crashes": nil, "new version crashes": {"before verify"},
	}
	var all []fault
	for _, f := range withTwoVersions() {
		if told, found := telling[f.name]; found {
			f.name, f.inPlace, f.telling = "in-place, "+f.name, true, told
			f.at = func(p place) bool { return p.step == "replace" || p.stage == probation }
			// else the new version is up, and nginx's fall-back is one of the two
			if f.name == "in-place, flag deleted" {
				f.impossible = "all until it is back, where nginx's fall-back names the other port"
			}
			all = append(all, f)
		}
	}
	return all
}

func withTwoVersions() []fault {
	return []fault{
		// The runner.
		{
			name: "runner killed", mute: true, at: underWay, telling: []string{"inside switch"},
			come: func(x *trial) error { return x.running.Kill(x.Ctx) },
		},
		{
			name: "runner killed, its step wakes up in the next run", mute: true, hangs: true, late: true,
			telling: []string{"before switch"},
			at:      func(p place) bool { return p != after && p.step != "lock" },
			come:    func(x *trial) error { return x.running.Kill(x.Ctx) },
		},
		{
			name: "runner killed, and on the host the download of an asset", mute: true, again: true,
			with: map[string]string{"assets": asset("model") + "\n" + asset("slow")},
			at:   func(p place) bool { return p.String() == "before assets" }, telling: []string{"before assets"},
			before: func(x *trial) error { x.put("slow", 4*megabyte); x.s3.Rate(megabyte); return nil },
			come: func(x *trial) error {
				if err := x.Host.Release(x.Ctx); err != nil {
					return err
				}
				return errors.Join(on(`timeout 60 bash -c "until find $root/assets -name '*.partial' -size +500k | grep -q .; `+
					`do sleep 0.05; done"; read -r pid _ <$root/.lock.leader; pkill -KILL -s "$pid"`)(x),
					x.running.Kill(x.Ctx))
			},
			lift: func(x *trial) error { x.s3.Rate(0); return nil },
			healed: func(x *trial, next *lab.Result) {
				world.Says(x.T, next, "going on with an earlier download", "ai_models/slow, ")
			},
		},
		{
			name: "first deployment, runner killed", mute: true, first: true, impossible: first, at: firstTime,
			telling: []string{"inside switch"},
			come:    func(x *trial) error { return x.running.Kill(x.Ctx) },
		},
		{
			name: "job cancelled", says: "cancelled", at: underWay, telling: []string{"before verify"},
			come: cancel,
		},
		{
			name: "a step hangs until the run's time is over", hangs: true, says: "time-out",
			with: map[string]string{"timeout": "90s"}, // in which the run has to get to the place
			at:   underWay, telling: []string{"inside lock", "inside before-start"},
			come: func(*trial) error { return nil },
		},
		// The way to the host.
		{
			name: "connection reset", says: lost, come: overLink(func(x *trial) { x.link.Reset() }),
			telling: []string{"before verify"},
		},
		{
			name: "black hole, both ways", says: lost, come: swallow(true, true), lift: resetAll,
			telling: []string{"inside switch"},
		},
		{name: "black hole to the host", says: lost, come: swallow(true, false), lift: resetAll},
		{name: "black hole from the host", says: lost, come: swallow(false, true), lift: resetAll},
		{
			name: "runner killed behind a black hole", mute: true, at: underWay, telling: []string{"inside health"},
			lift: resetAll,
			come: func(x *trial) error { return errors.Join(swallow(true, true)(x), x.running.Kill(x.Ctx)) },
		},
		{
			name: "1 s of latency each way", come: slow(time.Second, 0), lift: slow(0, 0),
			at: anyOf(before("lock"), before("switch")),
		},
		{name: "20 KB/s", come: slow(0, 20<<10), lift: slow(0, 0), at: anyOf(before("lock"), before("switch"))},
		{name: "sshd restarted", come: on("systemctl restart ssh"), telling: []string{"inside fetch"}},
		{
			name: "the host's end of the conversation killed", at: underWay, telling: []string{"inside start"},
			come: on("pkill -KILL -o -f '^bash -s -- talk$'"), // the first alone: others have begun verbs, and stay
		},
		// The host.
		{
			name: "host rebooted", says: halt, impossible: "all while it is down", closes: true,
			telling: []string{"before verify"},
			come:    func(x *trial) error { return x.Host.Restart(x.Ctx) },
		},
		{
			name: "power cut", says: halt, impossible: "all while it is down", closes: true,
			telling: []string{"inside start"},
			come:    func(x *trial) error { return x.Host.PowerCycle(x.Ctx) },
		},
		{
			name: "host frozen", says: lost,
			impossible: "all while it is frozen, which is 20 s, and a minute with all places", closes: true,
			come: freeze, telling: []string{"before switch"},
		},
		{
			name: "disk full (deploy root)", says: "No space|disk", host: small, telling: []string{
				"inside build",
				"inside switch",
			},
			come: fill("$root"), lift: free("$root"),
		},
		{
			name: "out of inodes (deploy root)", says: "No space|disk", host: small,
			telling: []string{"inside fetch"}, come: on("mkdir $root/full; cd $root/full; seq 60000 | xargs touch " +
				"2>/dev/null || true; if touch more 2>/dev/null; then exit 1; fi"), lift: free("$root"),
		},
		{
			name: "disk full (/var/lib/deploy-action)", says: "No space|disk", host: small,
			telling: []string{"before switch"}, come: fill("/var/lib/deploy-action"),
			lift: free("/var/lib/deploy-action"),
		},
		{
			name: "disk full (/tmp)", host: small, telling: []string{"inside build"}, come: fill("/tmp"),
			lift: free("/tmp"),
		},
		{
			name: "deploy root read-only", says: "the file system of /home/ubuntu/shop, mounted at " +
				"/home/ubuntu/shop, is read-only", telling: []string{"before switch"},
			come: on("mount --bind $root $root; mount -o remount,bind,ro $root"), lift: on("umount -l $root"),
		},
		{
			name: "too little memory for two versions", says: "for want of memory", at: before("start"),
			with: map[string]string{"start": `python3 -c 'x = bytearray(1 << 30)' && ` +
				`exec uvicorn controller.main:app --port $PORT`},
			telling: []string{"before start"}, come: func(x *trial) error { return x.Host.LimitMemory(x.Ctx, "700m") },
			lift: func(x *trial) error { return x.Host.LimitMemory(x.Ctx, "8g") },
		},
		{
			name: "clock a day ahead", stays: true, before: ownClock, come: on("echo +1d >/run/lab-clock"), lift: machineClock,
			at: underWay, telling: []string{"before fetch", "inside switch"},
		},
		{
			name: "clock a day back", stays: true, before: ownClock, come: on("echo -1d >/run/lab-clock"), lift: machineClock,
			at: underWay, telling: []string{"inside lock", "before prune"},
		},
		{
			name: "clock an hour ahead ten times a second", before: ownClock, lift: func(x *trial) error {
				return errors.Join(on("systemctl stop lab-clock")(x), machineClock(x))
			},
			come: on(`systemd-run --unit=lab-clock bash -c 'for ((n = 1; ; n++)); do
				echo "+${n}h" >/run/lab-clock.new; mv /run/lab-clock.new /run/lab-clock; sleep 0.1; done'`),
			at: before("lock"), telling: []string{"before lock"}, stays: true,
		},
		// nginx.
		{
			name: "nginx stopped", says: "nginx", impossible: "all until it runs again", closes: true,
			telling: []string{"before verify"},
			come:    on("systemctl stop nginx"), lift: on("systemctl start nginx"),
		},
		{
			name: "nginx restarted", says: "nginx", impossible: "all while it is down", closes: true,
			come: on("systemctl restart nginx"), telling: []string{"inside verify"},
		},
		{
			name: "nginx reloaded by somebody else", impossible: reload, closes: true,
			telling: []string{"before switch"}, come: on("nginx -s reload"),
		},
		{
			name: "nginx upgraded on the fly", impossible: reload, closes: true,
			telling: []string{"inside verify"}, come: on(`old=$(</run/nginx.pid); kill -USR2 $old
				timeout 60 bash -c "until [[ -e /run/nginx.pid.oldbin && -s /run/nginx.pid && \$(</run/nginx.pid) != $old ]]; ` +
				`do sleep 0.05; done"; kill -QUIT $old`),
		},
		{
			name: "somebody's broken nginx file", says: "nginx refuses", telling: []string{"before check"},
			come: on("echo 'no such directive;' >/etc/nginx/conf.d/theirs.conf"),
			lift: on("rm /etc/nginx/conf.d/theirs.conf"),
		},
		{
			name: "include edited by hand", says: "nginx", impossible: reload, closes: true, mended: true,
			telling: []string{"before site"}, come: on("sed -i '1i # by hand' /etc/nginx/conf.d/service-url.inc; " +
				"grep -qx '# by hand' /etc/nginx/conf.d/service-url.inc"),
		},
		// The flag.
		{
			name: "flag deleted", says: "flag", flags: true, come: on("rm $flags/*"),
			telling: []string{"before switch"},
		},
		{
			name: "flag folder deleted", says: "flag", flags: true, come: on("rm -r $flags"),
			telling: []string{"before switch"},
		},
		{
			name: "first deployment, flag folder deleted", says: "flag", flags: true, first: true, impossible: first,
			at:   func(p place) bool { return firstTime(p) && from("fetch")(p) }, // before that it is not there
			come: on("rm -r $flags"), telling: []string{"before verify"},
		},
		{
			name: "both flags", says: "flag", flags: true, come: on("touch $flags/$active $flags/$idle"),
			telling: []string{"inside health", "inside verify"},
		},
		// The versions.
		{
			name: "old version crashes", says: "exited", impossible: "those it was answering, and all until it or " +
				"the new one listens", closes: true,
			at: until("prune"), come: crash("active"),
			telling: []string{"before switch"},
		},
		{
			name: "new version crashes", says: "exited|EX_", impossible: "those it was answering, and all until it " +
				"listens again when the old one is gone", closes: true,
			at: from("health"), come: crash("idle"),
			telling: []string{"inside health", "inside verify"},
		},
		{
			name: "new version crashes long after the run, three times", impossible: "those it was answering, and " +
				"all until it listens again", closes: true,
			at: only(after), telling: []string{"after the run"}, come: on(`for n in 1 2 3; do
				pid=$(systemctl show -p MainPID --value shop@$idle); kill -KILL "$pid"
				timeout 60 bash -c "until curl -fs -o /dev/null http://127.0.0.1:$idle/health; do sleep 0.2; done"
			done`),
		},
		{
			name: "new version breaks for good long after the run", impossible: "all until the next deployment",
			closes: true, down: true,
			at: only(after), telling: []string{"after the run"},
			come: on(`release=$(readlink $root/slots/$idle); rm -r "$root/slots/$release/controller"; ` +
				`systemctl kill -s KILL shop@$idle`),
		},
		// What is on the disk.
		{
			name: "unit edited by hand",
			come: on("sed -i 's/^RestartSec=1/RestartSec=2/' /etc/systemd/system/shop@.service; grep -qx RestartSec=2 " +
				"/etc/systemd/system/shop@.service; systemctl daemon-reload"),
			telling: []string{"before start"},
		},
		{
			name: "link of the idle slot dangles", at: until("start"), telling: []string{"before detect"},
			come: on("ln -sfnT ../releases/gone $root/slots/$idle"),
		},
		{
			name: "folder of the live release deleted", come: on("rm -r $root/releases/${release:?}"),
			telling: []string{"before lock"},
		},
		{
			name: "half a release and half a venv left by a killed run", at: until("build"),
			telling: []string{"before fetch"}, come: on("mkdir -p $root/releases/20200101T000000Z-1234567.partial " +
				"$root/releases/20200101T000000Z-7654321 $root/venvs/0123456789abcdef; chown -R ubuntu: " +
				"$root/releases/2020* $root/venvs/0*"),
		},
	}
}
