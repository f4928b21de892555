package inputs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Job runs by the clock: When are expressions of systemd's OnCalendar, any of which starts it.
type Job struct {
	Name, Command string
	When          []string
}

// cronWords are what stands for all five fields.
var cronWords = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

var (
	months   = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// cronField is one of the five: what it is called, its limits, and the names that stand for numbers
// from the lower limit on.
type cronField struct {
	name   string
	lo, hi int
	names  []string
}

var cronFields = []cronField{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of the month", 1, 31, nil},
	{"month", 1, 12, months},
	{"day of the week", 0, 7, weekdays}, // 7 is Sunday, as 0 is
}

// longestMonths is how many days a month may have.
var longestMonths = []int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

var firstWord = regexp.MustCompile(`^(\S+)\s*(.*)$`)

// setSchedule reads lines NAME: CRON COMMAND. Empty lines and lines that begin with # do not count.
func setSchedule(p *parser, value string) error {
	var errs []error
	for n, line := range strings.Split(value, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := processLine.FindStringSubmatch(line)
		switch {
		case m == nil:
			errs = append(errs, fmt.Errorf("line %d: must be NAME: CRON COMMAND, such as nightly: 0 3 * * * python "+
				"cleanup.py", n+1))
			continue
		case !processName.MatchString(m[1]):
			errs = append(errs, fmt.Errorf("line %d: the name must begin with a letter of a-z, and have at most 32 of "+
				"a-z, 0-9, _ and - in it", n+1))
			continue
		case slices.ContainsFunc(p.in.Jobs, func(j Job) bool { return j.Name == m[1] }):
			errs = append(errs, fmt.Errorf("line %d: %s is there twice", n+1, m[1]))
			continue
		}
		when, command, err := readCron(m[2])
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n+1, err))
			continue
		}
		p.in.Jobs = append(p.in.Jobs, Job{m[1], command, when})
	}
	return errors.Join(errs...)
}

// readCron takes a time off the front of a line.
func readCron(text string) (when []string, command string, err error) {
	var words []string
	fields := len(cronFields)
	if strings.HasPrefix(text, "@") {
		fields = 1
	}
	command = text
	for range fields {
		m := firstWord.FindStringSubmatch(command)
		if m == nil {
			break
		}
		words, command = append(words, m[1]), m[2]
	}
	if fields == 1 {
		five, known := cronWords[strings.ToLower(words[0])]
		switch {
		case strings.EqualFold(words[0], "@reboot"):
			return nil, "", errors.New("@reboot is no time: what runs all the while is for the input processes, and what " +
				"a version needs before it starts for before-start")
		case !known:
			return nil, "", errors.New("must be @hourly, @daily, @weekly, @monthly, @yearly or the five fields of cron " +
				got(words[0]))
		}
		words = strings.Fields(five)
	}
	if len(words) < len(cronFields) || command == "" {
		return nil, "", errors.New("must have five fields (minute, hour, day of the month, month, day of the week) or a " +
			"word such as @daily, and then the command")
	}
	sets := make([][]int, len(cronFields))
	for i, f := range cronFields {
		if sets[i], err = f.read(words[i]); err != nil {
			return nil, "", err
		}
	}
	when, err = calendar(sets, strings.HasPrefix(words[2], "*"), strings.HasPrefix(words[4], "*"))
	return when, command, err
}

// read returns the numbers that a field names, sorted.
func (f cronField) read(text string) ([]int, error) {
	wrong := func() error {
		example := fmt.Sprintf("a number from %d to %d", f.lo, f.hi)
		if f.names != nil {
			example += fmt.Sprintf(" or a name such as %s", f.names[1])
		}
		return fmt.Errorf("the %s must be *, %s, a range such as 1-5, a step such as */2, or a list of these with commas %s",
			f.name, example, got(text))
	}
	var all []int
	for part := range strings.SplitSeq(text, ",") {
		bounds, stepText, stepped := strings.Cut(part, "/")
		lo, hi, step := f.lo, f.hi, 1
		if from, to, ranged := strings.Cut(bounds, "-"); bounds != "*" {
			var good, alsoGood bool
			lo, good = f.number(from)
			hi, alsoGood = lo, true
			if ranged {
				hi, alsoGood = f.number(to)
			} else if stepped { // as cron has it: from there on
				hi = f.hi
			}
			if f.hi == 7 && ranged && hi == 0 { // fri-sun
				hi = 7
			}
			if !good || !alsoGood || lo > hi {
				return nil, wrong()
			}
		}
		if stepped {
			var err error
			if step, err = strconv.Atoi(stepText); err != nil || step < 1 || step > f.hi || stepText[0] == '+' {
				return nil, wrong()
			}
		}
		if f.hi == 7 && bounds == "*" {
			hi = 6 // else every second day would have Sunday by its other number, too
		}
		for n := lo; n <= hi; n += step {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (f cronField) number(text string) (int, bool) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.lo + i, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= f.lo && n <= f.hi && len(text) <= 2 && text[0] != '+'
}

// calendar writes the times as systemd has them. Where neither day is left open, cron takes either
// of them, and systemd both: then it takes two lines. A field that begins with * is open to cron,
// even with a step.
func calendar(sets [][]int, anyDay, anyWeekday bool) ([]string, error) {
	minute, hour := list(sets[0], 0, 59), list(sets[1], 0, 23)
	month, weekday := list(sets[3], 1, 12), weekdayList(sets[4])
	line := func(weekday, day string) string {
		return weekday + "*-" + month + "-" + day + " " + hour + ":" + minute + ":00 UTC"
	}
	day := list(sets[2], 1, 31)
	if anyDay || anyWeekday {
		if !comes(sets) {
			return nil, errors.New("no year has such a day: take a day of the month that one of the months has")
		}
		return []string{line(weekday, day)}, nil
	}
	var when []string
	if comes(sets) {
		when = append(when, line("", day))
	}
	if weekday == "" { // all seven of them, one by one
		return []string{line("", "*")}, nil
	}
	return append(when, line(weekday, "*")), nil
}

// comes tells whether any of the months has any of the days.
func comes(sets [][]int) bool {
	return slices.ContainsFunc(sets[3], func(month int) bool { return sets[2][0] <= longestMonths[month-1] })
}

// list writes numbers as systemd does: * for all, and a..b for those that follow one another.
func list(numbers []int, lo, hi int) string {
	if len(numbers) == hi-lo+1 {
		return "*"
	}
	var parts []string
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		switch {
		case end-i >= 2:
			parts = append(parts, fmt.Sprintf("%02d..%02d", numbers[i], numbers[end]))
		default:
			for _, n := range numbers[i : end+1] {
				parts = append(parts, fmt.Sprintf("%02d", n))
			}
		}
		i = end + 1
	}
	return strings.Join(parts, ",")
}

// weekdayList names them, and a blank follows; all are nothing.
func weekdayList(numbers []int) string {
	var parts []string
	for n, name := range weekdays {
		if slices.Contains(numbers, n) || n == 0 && slices.Contains(numbers, 7) {
			parts = append(parts, strings.ToUpper(name[:1])+name[1:])
		}
	}
	if len(parts) == len(weekdays) {
		return ""
	}
	return strings.Join(parts, ",") + " "
}
