package inputs

import (
	"strings"
	"testing"
)

// Cron lines, and what systemd is told. That both mean the same is asked of systemd itself, by
// TestScheduleMeansWhatCronDoes in e2e.
var cronTable = []struct{ cron, want string }{
	{"0 3 * * *", "*-*-* 03:00:00 UTC"},
	{"* * * * *", "*-*-* *:*:00 UTC"},
	{"*/15 * * * *", "*-*-* *:00,15,30,45:00 UTC"},
	{"5/20 * * * *", "*-*-* *:05,25,45:00 UTC"},
	{"0-29/10,45 8-18 * * mon-fri", "Mon,Tue,Wed,Thu,Fri *-*-* 08..18:00,10,20,45:00 UTC"},
	{"0 0 1 JAN,jul *", "*-01,07-01 00:00:00 UTC"},
	{"30 4 1,15 * 5", "*-*-01,15 04:30:00 UTC|Fri *-*-* 04:30:00 UTC"},
	{"30 4 * * 0", "Sun *-*-* 04:30:00 UTC"},
	{"30 4 * * 7", "Sun *-*-* 04:30:00 UTC"},
	{"30 4 * * 5-7", "Sun,Fri,Sat *-*-* 04:30:00 UTC"},
	{"30 4 * * fri-sun", "Sun,Fri,Sat *-*-* 04:30:00 UTC"},
	{"30 4 * * */2", "Sun,Tue,Thu,Sat *-*-* 04:30:00 UTC"},
	{"0 0 */2 * 1", "Mon *-*-01,03,05,07,09,11,13,15,17,19,21,23,25,27,29,31 00:00:00 UTC"},
	{"0 0 13 * */2", "Sun,Tue,Thu,Sat *-*-13 00:00:00 UTC"},
	{"0 0 29 2 *", "*-02-29 00:00:00 UTC"},
	{"0 0 31 2 1", "Mon *-02-* 00:00:00 UTC"},
	{"0 12 1-31 * 1", "*-*-* 12:00:00 UTC|Mon *-*-* 12:00:00 UTC"},
	{"0 12 7 * 0-6", "*-*-* 12:00:00 UTC"},
	{"0-59 0-23 1-31 1-12 *", "*-*-* *:*:00 UTC"},
	{"1,2,4,5,6 0,1 * 3-5 *", "*-03..05-* 00,01:01,02,04..06:00 UTC"},
	{"@hourly", "*-*-* *:00:00 UTC"},
	{"@daily", "*-*-* 00:00:00 UTC"},
	{"@Weekly", "Sun *-*-* 00:00:00 UTC"},
	{"@monthly", "*-*-01 00:00:00 UTC"},
	{"@yearly", "*-01-01 00:00:00 UTC"},
	{"@annually", "*-01-01 00:00:00 UTC"},
	{"@midnight", "*-*-* 00:00:00 UTC"},
}

func TestSchedule(t *testing.T) {
	key, _ := newKey(t, "")
	for _, tt := range cronTable {
		in, err := Parse(with(runner(key), map[string]string{"schedule": "job:" + tt.cron + "  echo '%' \\  it\r\n"}))
		if err != nil {
			t.Errorf("%s: %v", tt.cron, err)
			continue
		}
		if len(in.Jobs) != 1 || in.Jobs[0].Name != "job" || in.Jobs[0].Command != `echo '%' \  it` {
			t.Errorf("%s: %q", tt.cron, in.Jobs)
		}
		if got := strings.Join(in.Jobs[0].When, "|"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.cron, got, tt.want)
		}
	}
}

func TestScheduleRefusesWhatIsNoTime(t *testing.T) {
	key, _ := newKey(t, "")
	for value, want := range map[string]string{
		"nightly":                "line 1: must be NAME: CRON COMMAND, such as nightly: 0 3 * * * python",
		"nightly: 0 3 * * *":     "line 1: must have five fields",
		"nightly: 0 3 * *":       "line 1: must have five fields",
		"nightly:":               "line 1: must have five fields",
		"# a\n\nnightly: @daily": "line 3: must have five fields",
		"nightly: @noon run": `line 1: must be @hourly, @daily, @weekly, @monthly, @yearly ` +
			`or the five fields of cron`,
		"nightly: @reboot run": "line 1: @reboot is no time: what runs all the while " +
			"is for the input processes",
		"Nightly: 0 3 * * * run":             "line 1: the name must begin with a letter",
		"../x: 0 3 * * * run":                "line 1: the name must begin",
		"a: 0 3 * * * run\na: 0 4 * * * run": "line 2: a is there twice",
		"a: 60 3 * * * run":                  "line 1: the minute must be *, a number from 0 to 59, a range",
		"a: 0 24 * * * run":                  "line 1: the hour must be *, a number from 0 to 23",
		"a: 0 3 0 * * run":                   "line 1: the day of the month must be *, a number from 1 to 31",
		"a: 0 3 * 13 * run": "line 1: the month must be *, a number from 1 to 12 " +
			"or a name such as feb",
		"a: 0 3 * * 8 run": "line 1: the day of the week must be *, a number from 0 to 7 " +
			"or a name such as mon",
		"a: 5-1 3 * * * run":                       "line 1: the minute must be",
		"a: */0 3 * * * run":                       "line 1: the minute must be",
		"a: */x 3 * * * run":                       "line 1: the minute must be",
		"a: 1//2 3 * * * run":                      "line 1: the minute must be",
		"a: , 3 * * * run":                         "line 1: the minute must be",
		"a: 1, 3 * * * run":                        "line 1: the minute must be",
		"a: +1 3 * * * run":                        "line 1: the minute must be",
		"a: -1 3 * * * run":                        "line 1: the minute must be",
		"a: */+2 3 * * * run":                      "line 1: the minute must be",
		"a: 1- 3 * * * run":                        "line 1: the minute must be",
		"a: 0 3 mon * * run":                       "line 1: the day of the month must be",
		"a: 0 3 * sonntag * run":                   "line 1: the month must be",
		"a: 0 3 L * * run":                         "line 1: the day of the month must be",
		"a: 0 0 30,31 2 * run":                     "line 1: no year has such a day",
		"a: 0 0 31 4,jun,9,11 * run":               "line 1: no year has such a day",
		strings.Repeat("a", 33) + ": @daily run":   "line 1: the name must begin",
		"a: */" + strings.Repeat("9", 30) + " run": "line 1: must have five fields",
	} {
		if _, err := Parse(with(runner(key), map[string]string{"schedule": value})); err == nil ||
			!strings.Contains(err.Error(), `input "schedule": `+want) {
			t.Errorf("%q: %v, want %q", value, err, want)
		}
	}
}
