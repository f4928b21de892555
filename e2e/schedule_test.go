package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/world"
)

// job writes down which release it runs of, and is busy for as long as the file is there.
const job = `set -e
echo "$RELEASE $NAME" >>/home/ubuntu/shop/shared/ran
cd /tmp
while [ -e /home/ubuntu/shop/shared/busy ]; do sleep 0.2; done
[ ! -e /home/ubuntu/shop/shared/fail ]
echo "$RELEASE ended" >>/home/ubuntu/shop/shared/ran
`

const everyMinute = "tick: * * * * * bash job.sh"

// setTimers are the jobs whose timers run, and in brackets those that a reboot brings back.
func setTimers(w *world.World) string {
	w.T.Helper()
	return strings.Join(strings.Fields(w.Exec(`for unit in $(systemctl list-units --plain --no-legend `+
		`--state=waiting,running --type=timer 'shop.job.*' | cut -d ' ' -f 1); do
  unit=${unit#shop.job.}
  echo "${unit%%.*}"
done
for unit in /etc/systemd/system/timers.target.wants/shop.job.*; do
  [ ! -e "$unit" ] || basename "$unit" | sed 's/^shop.job.\([^.]*\).*/[\1]/'
done`)), " ")
}

func wantTimers(w *world.World, after, want string) {
	w.T.Helper()
	if got := setTimers(w); got != want {
		w.T.Errorf("after %s the timers are %q, want %q", after, got, want)
	}
}

// runs waits until the next run of the job, and wants it to be of that release.
func runs(w *world.World, after, release string) {
	w.T.Helper()
	out := w.Exec(`cd /home/ubuntu/shop/shared
timeout 60 bash -c 'while [ "$(systemctl show -p ActiveState --value shop.job@tick)" = activating ]; do sleep 0.2; done'
: >ran; timeout 100 bash -c 'until grep -q " ended" ran; do sleep 0.2; done'; cat ran`)
	if want := release + " of-env\n" + release + " ended"; out != want {
		w.T.Errorf("after %s the job said\n%s\nwant\n%s", after, out, want)
	}
}

// A job is started by its timer, and is that of the release that serves: after a deployment, a
// rollback and a reboot; one that is busy finishes, and keeps its release; one that fails is said.
func TestJobsByTheClock(t *testing.T) {
	for _, host := range itsHosts(t) {
		t.Run(host.name, func(t *testing.T) {
			w := world.New(t, host.options)
			commit := func() string { return w.Commit(map[string]string{"job.sh": job}) }
			with := map[string]string{
				"schedule": everyMinute + "\nnightly: 0 3 * * * true", "env": "NAME=of-env", "keep-releases": "2",
			}
			one := merged(with, map[string]string{"schedule": everyMinute})
			first := w.Deploy(commit(), with).Outputs["release"]
			wantTimers(w, "the first deployment", "nightly tick [nightly] [tick]")
			w.UnderLoad()
			w.Exec("mkdir -p /home/ubuntu/shop/shared; chown -R ubuntu /home/ubuntu/shop/shared; " +
				"sudo -u ubuntu touch /home/ubuntu/shop/shared/ran")
			runs(w, "the first deployment", first)

			sha := commit()
			second := w.Deploy(sha, one).Outputs["release"]
			wantTimers(w, "a deployment", "tick [tick]")
			runs(w, "a deployment", second)
			back := w.Run(w.Job(sha, merged(with, map[string]string{"operation": "rollback"})))
			if back.Outputs["release"] != first {
				t.Fatalf("outputs %v\n%s", back.Outputs, back.Log())
			}
			wantTimers(w, "a rollback", "nightly tick [nightly] [tick]")
			runs(w, "a rollback", first)
			w.EndLoad()

			if err := w.Host.Restart(w.Ctx); err != nil {
				t.Fatal(err)
			}
			w.Exec("timeout 60 bash -c 'until curl -fs http://127.0.0.1/health; do sleep 0.2; done'")
			wantTimers(w, "a reboot", "nightly tick [nightly] [tick]")

			// Busy while three other releases come: it finishes, and its release stays until then.
			w.Exec(`sudo -u ubuntu touch /home/ubuntu/shop/shared/busy; cd /home/ubuntu/shop/shared; : >ran
timeout 100 bash -c 'until grep -q of-env ran; do sleep 0.2; done'`)
			takeSudo(w, true)
			for range 3 {
				w.Deploy(commit(), with)
			}
			live := w.Deploy(commit(), one).Outputs["release"]
			wantTimers(w, "deployments with few rights", "tick [tick]")
			status := w.Run(w.Job(sha, map[string]string{"operation": "status"}))
			world.Says(t, status, "job tick: runs, since ")
			w.Exec("test -e /home/ubuntu/shop/releases/" + first + "/job.sh; test ! -e /home/ubuntu/shop/releases/" + second)
			refused := w.Run(w.Job(commit(), merged(with, map[string]string{"schedule": "tick: 1 * * * * true"})))
			world.Failed(t, refused, "failed", "rights for routine deployments only", "/etc/systemd/system/shop.job.tick.",
				"site: unchanged; "+live)
			giveSudo(w)
			if out := w.Exec(`cd /home/ubuntu/shop/shared; rm busy; ` +
				`timeout 60 bash -c 'until grep -q " ended" ran; do sleep 0.2; done'; ` +
				`head -n 2 ran`); out != first+" of-env\n"+first+" ended" {
				t.Errorf("the busy job said %q", out)
			}

			w.Exec(`cd /home/ubuntu/shop/shared; sudo -u ubuntu touch fail; ` +
				`timeout 100 bash -c 'until systemctl is-failed shop.job@tick; do sleep 0.2; done'`)
			status = w.Run(w.Job(sha, map[string]string{"operation": "status"}))
			world.Says(t, status, "job tick: failed (exit-code, status 1), ",
				"the last run of these jobs failed: tick (exit-code, status 1)")
			logs := w.Run(w.Job(sha, map[string]string{"operation": "logs", "log-of": "job:tick"}))
			world.Says(t, logs, "=== /home/ubuntu/shop/logs/job-tick.log", "start of tick of "+live, "end of tick with status 1")
			warned := w.Deploy(commit(), nil)
			world.Says(t, warned, "the last run of these jobs failed: tick (exit-code, status 1)",
				"jobs by the clock: none any more")
			wantTimers(w, "a release without a schedule", "")

			w.Deploy(commit(), with)
			gone := w.Run(w.Job(sha, map[string]string{"operation": "remove", "confirm": "shop"}))
			if out := w.Exec("ls /etc/systemd/system /etc/systemd/system/*.wants | " +
				"grep -F shop. || true"); gone.ExitCode != 0 || out != "" {
				t.Errorf("exit code %d, left:\n%s\n%s", gone.ExitCode, out, gone.Log())
			}
		})
	}
}

// The first of several hosts starts the jobs, and no other.
func TestJobsOnOneOfSeveralHosts(t *testing.T) {
	fl := newFleet(t, 2)
	w := fl[0]
	hosts := func(names ...string) map[string]string {
		return map[string]string{"schedule": everyMinute, "host": strings.Join(names, "\n")}
	}
	a, b := fl[0].Host.IP, fl[1].Host.IP
	sha := w.Commit(map[string]string{"job.sh": job})
	fl.ended(w.Run(w.Job(sha, fl.with(hosts(a, b)))), "deployed")
	wantTimers(fl[0], "a deployment", "tick [tick]")
	wantTimers(fl[1], "a deployment", "")
	fl.ended(w.Run(w.Job(sha, fl.with(hosts(b, a)))), "unchanged")
	wantTimers(fl[0], "another order", "")
	wantTimers(fl[1], "another order", "tick [tick]")
	fl.ended(w.Run(w.Job(w.Commit(map[string]string{"job.sh": job + "true\n"}), fl.with(hosts(b, a)))), "deployed")
	wantTimers(fl[0], "a new release", "")
	wantTimers(fl[1], "a new release", "tick [tick]")
	fl.ended(w.Run(w.Job(sha, fl.with(merged(hosts(a, b), map[string]string{"operation": "rollback"})))), "rolled-back")
	wantTimers(fl[0], "a rollback", "tick [tick]")
	wantTimers(fl[1], "a rollback", "")
}

// crons are lines whose times systemd is asked for.
var crons = []string{
	"0 3 * * *", "* * * * *", "*/15 * * * *", "5/20 * * * *", "0-29/10,45 8-18 * * mon-fri", "0 0 1 JAN,jul *",
	"30 4 1,15 * 5", "30 4 * * 0", "30 4 * * 7", "30 4 * * 5-7", "30 4 * * fri-sun", "30 4 * * */2", "0 0 */2 * 1",
	"0 0 13 * */2", "0 0 29 2 *", "0 0 31 2 1", "0 12 1-31 * 1", "0 12 7 * 0-6", "1,2,4,5,6 0,1 * 3-5 *",
	"@hourly", "@daily", "@weekly", "@monthly", "@yearly",
}

var cronWords = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *",
}

// cronNames are those in the lines above.
var cronNames = strings.NewReplacer("JAN", "1", "jul", "7", "mon", "1", "fri", "5", "sun", "7")

// due tells, as crontab(5) has it, whether a line is due on a day, and at a time of day.
func due(cron string, at time.Time) (day, minute bool) {
	if words := cronWords[cron]; words != "" {
		cron = words
	}
	fields := strings.Fields(cronNames.Replace(cron))
	is := func(field, lo, hi, now int) bool {
		for part := range strings.SplitSeq(fields[field], ",") {
			bounds, step, stepped := strings.Cut(part, "/")
			from, to, ranged := strings.Cut(bounds, "-")
			first, _ := strconv.Atoi(from)
			last, every := first, 1
			switch {
			case bounds == "*":
				first, last = lo, hi
			case ranged:
				last, _ = strconv.Atoi(to)
			case stepped:
				last = hi
			}
			if stepped {
				every, _ = strconv.Atoi(step)
			}
			if now >= first && now <= last && (now-first)%every == 0 {
				return true
			}
		}
		return false
	}
	weekday := int(at.Weekday())
	month, week := is(2, 1, 31, at.Day()), is(4, 0, 6, weekday) || weekday == 0 && is(4, 0, 6, 7)
	both := month && week
	if fields[2][0] != '*' && fields[4][0] != '*' {
		both = month || week
	}
	return is(3, 1, 12, int(at.Month())) && both, is(0, 0, 59, at.Minute()) && is(1, 0, 23, at.Hour())
}

// What is written for systemd means there what the line means to cron: the next five times of each.
func TestScheduleMeansWhatCronDoes(t *testing.T) {
	for _, release := range []string{"", "trixie"} {
		t.Run(release, func(t *testing.T) {
			w := world.New(t, lab.HostOptions{Release: release})
			var lines []string
			for n, cron := range crons {
				lines = append(lines, fmt.Sprintf("job%02d: %s true", n, cron))
			}
			w.Deploy(w.Commit(nil), map[string]string{"schedule": strings.Join(lines, "\n")})
			begin := time.Date(2026, 11, 27, 18, 30, 30, 0, time.UTC)
			out := w.Exec(`cd /etc/systemd/system; for file in shop.job.*.timer; do
  sed -n 's/^OnCalendar=//p' "$file" | while IFS= read -r when; do
    TZ=UTC systemd-analyze calendar --base-time='2026-11-27 18:30:30 UTC' --iterations=5 "$when" \
      | grep -oE '[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} UTC' | sed "s/^/${file:9:5} /"
  done
done`)
			said := map[string][]string{}
			for line := range strings.Lines(out) {
				name, at, _ := strings.Cut(strings.TrimSpace(line), " ")
				said[name] = append(said[name], at)
			}
			for n, cron := range crons {
				var want []string
				at := begin.Truncate(time.Minute).Add(time.Minute)
				for len(want) < 5 && at.Year() < 2050 {
					day, minute := due(cron, at)
					if day && minute {
						want = append(want, at.Format("2006-01-02 15:04:05 UTC"))
					}
					if at = at.Add(time.Minute); !day {
						at = at.Add(24*time.Hour - time.Minute).Truncate(24 * time.Hour)
					}
				}
				got := said[fmt.Sprintf("job%02d", n)]
				slices.Sort(got)
				if got = slices.Compact(got); len(got) > 5 { // of two lines
					got = got[:5]
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: systemd says %q, and cron %q", cron, got, want)
				}
			}
		})
	}
}
