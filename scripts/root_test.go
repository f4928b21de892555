package scripts

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a routine deployment runs as root is what the sudoers rules allow: each of these calls, made
// with a sudo that only shows its arguments.
func TestTheRulesAllowWhatRoutineVerbsRunAsRoot(t *testing.T) {
	calls := map[string]bool{"nginx_test": true, "nginx_reload": true, "rules_stand": true}
	for _, verb := range verbs(t) {
		for _, file := range sources(verb) {
			for _, m := range regexp.MustCompile(`\b(unit|unit_socket) ([a-z-]+) "\$(port-\$name|port|1)"`).
				FindAllStringSubmatch(read(t, file), -1) {
				worker := strings.TrimPrefix(strings.Replace(m[3], "port-$name", "-mailer", 1), "port")
				worker = strings.TrimPrefix(worker, "1")
				calls[m[1]+" "+m[2]+" 8080"+worker], calls[m[1]+" "+m[2]+" 8081"+worker] = true, true
			}
		}
	}
	if len(calls) != 3+2*(5+4+5) {
		t.Fatalf("calls %v", calls)
	}
	unitOf := regexp.MustCompile(`(?m)^unit_of\(\) .*$`).FindString(read(t, "lib/base.sh"))
	host := `app=shop ports="8080 8081" processes=mailer
rules() { rules_text=''; }
has_systemd() { :; }
has_text() { :; }
find_nginx() { nginx=(nginx -c /opt/nginx.conf); }
` + unitOf + `
as_root() { printf 'ran %s\n' "$*" >&3; }
exec 3>&1
rules_copy=/dev/null
`
	out := bash(t, read(t, "lib/socket.sh")+read(t, "lib/root.sh")+host+
		"rules_file=/etc/sudoers.d/deploy-action-shop\n"+strings.Join(slices.Collect(maps.Keys(calls)), "\n")+
		"\nroutine; printf 'may %s\\n' \"${commands[@]}\"")
	var ran, may []string
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if command, ok := strings.CutPrefix(line, "ran "); ok {
			ran = append(ran, command)
		} else {
			may = append(may, strings.TrimPrefix(line, "may "))
		}
	}
	slices.Sort(ran)
	slices.Sort(may)
	if !slices.Equal(ran, may) {
		t.Errorf("ran:\n%s\nmay run:\n%s", strings.Join(ran, "\n"), strings.Join(may, "\n"))
	}
}

// Elsewhere root is asked for by what sets a host up, or puts it back; and where a user who has it
// is told more.
func TestRootIsAskedForInFewPlaces(t *testing.T) {
	places := []string{
		"lib/base.sh", "lib/root.sh", "lib/files.sh", "lib/packages.sh", "lock.sh", "setup.sh", "lib/swap.sh",
		"site.sh", "lib/kept.sh", "restore.sh", "lib/certificate.sh",
		"lib/socket.sh", "lib/process.sh", "lib/nginx.sh", "port.sh", "lib/logs.sh", // after free_root
		"lib/units.sh", "remove.sh", "lib/remove.sh",
		"lib/halt.sh", // a version that another user had started by hand
	}
	var files []string
	for _, verb := range verbs(t) {
		files = append(files, sources(verb)...)
	}
	for _, file := range files {
		if asks := strings.Contains(read(t, file), "as_root"); asks && !slices.Contains(places, file) {
			t.Errorf("%s runs something as root that no rule allows", file)
		}
	}
}

// Whoever calls a process of his own a worker that is shutting down must not hold up a drain.
func TestOnlyNginxsOwnWorkersAreWaitedFor(t *testing.T) {
	const worker = `(exec -a "nginx: worker process is shutting down" sleep 60) & pid=$!
until [[ $(tr -d '\0' </proc/$pid/cmdline) == nginx:* ]]; do read -rt 0.01 _ <><(:) || :; done
`
	for masters, want := range map[string]string{
		`echo "$$ nginx: master process x"`: "1\n", `echo "1 nginx: master process x"`: "0\n", ":": "0",
	} {
		out := bash(t, "app=a ports=\n"+read(t, "lib/base.sh")+read(t,
			"lib/root.sh")+"\nmasters() { "+masters+"; }\n"+worker+
			"retiring_workers\nkill $pid")
		if out != want {
			t.Errorf("with the masters of %q: %q, want %q", masters, out, want)
		}
	}
}
