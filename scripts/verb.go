// Package scripts holds the shell that runs on the host, one verb a file, and speaks its protocol:
// values in and script on standard input, key=value results on standard output, words for people on
// standard error, and an exit code that decides.
package scripts

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"al.essio.dev/pkg/shellescape"
)

//go:embed *.sh lib/*.sh upstreams.conf site.conf service-url.inc proxy.conf trusted.conf late.conf maintenance.conf
//go:embed tls.conf redirect.conf challenge.conf process.service job.service unit.service unit.socket
var files embed.FS

// Verb names one script.
type Verb string

// The verbs, in the order a deployment uses them.
const (
	Lock    Verb = "lock"
	Check   Verb = "check"
	Port    Verb = "port"
	Setup   Verb = "setup"
	Adopt   Verb = "adopt"
	Fetch   Verb = "fetch"
	Offer   Verb = "offer"
	Receive Verb = "receive"
	Room    Verb = "room"
	Confirm Verb = "confirm"
	Build   Verb = "build"
	Hook    Verb = "hook"
	Assets  Verb = "assets"
	Start   Verb = "start"
	Health  Verb = "health"
	Site    Verb = "site"
	Switch  Verb = "switch"
	Verify  Verb = "verify"
	Workers Verb = "workers"
	Mark    Verb = "mark"
	Replace Verb = "replace"
	Resume  Verb = "resume"
	Restore Verb = "restore"
	Drain   Verb = "drain"
	Stop    Verb = "stop"
	Prune   Verb = "prune"
	Record  Verb = "record"
	Sync    Verb = "sync"

	Ask      Verb = "ask"
	Releases Verb = "releases"
	Logs     Verb = "logs"
	Run      Verb = "run"

	Maintenance Verb = "maintenance"
	Certificate Verb = "certificate"
	Remove      Verb = "remove"
)

// Verbs are all of them.
var Verbs = []Verb{
	Lock, Check, Port, Setup, Adopt, Fetch, Offer, Receive, Room, Confirm, Build, Hook, Assets, Start, Health, Site,
	Switch, Verify, Workers, Mark, Replace, Resume, Restore, Drain, Stop, Prune, Record, Sync, Ask, Releases, Logs, Run,
	Maintenance, Certificate, Remove,
}

// Command is what a verb runs as. Its script follows on standard input, so nothing of it shows in a
// process list but the verb's name.
func Command(verb Verb) string { return "exec bash -s -- " + string(verb) }

// Values are a script's inputs, by variable name.
type Values map[string]string

var libraries = []string{
	"lib/base.sh", "lib/turn.sh", "lib/step.sh", "lib/root.sh", "lib/process.sh", "lib/container.sh", "lib/socket.sh",
	"lib/memory.sh", "lib/files.sh", "lib/probe.sh",
}

var replacing = []string{
	"lib/launch.sh", "lib/health.sh", "lib/hints.sh", "lib/drain.sh", "lib/halt.sh",
	"lib/replace.sh", "lib/workers.sh",
}

// extra are the shared files that few verbs need.
var extra = map[Verb][]string{
	Fetch: {"lib/room.sh", "lib/git.sh", "lib/ref.sh"}, Build: {
		"lib/packages.sh", "lib/room.sh", "lib/command.sh",
		"lib/venv.sh", "lib/workers.sh", "lib/processes.sh", "lib/jobs.sh",
	},
	Health: {"lib/health.sh", "lib/hints.sh"}, Start: {"lib/launch.sh", "lib/workers.sh"},
	Drain: {"lib/drain.sh"}, Stop: {"lib/halt.sh", "lib/workers.sh"},
	Replace: replacing, Resume: replacing, Hook: {"lib/packages.sh", "lib/command.sh"},
	Run:  {"lib/packages.sh", "lib/command.sh"},
	Logs: {"lib/nginx.sh", "lib/logs.sh"}, Assets: {
		"lib/room.sh",
		"lib/asset.sh",
	}, Room: {"lib/room.sh"},
	Prune: {"lib/room.sh"}, Releases: {"lib/room.sh", "lib/workers.sh", "lib/jobs.sh"}, Check: {
		"lib/packages.sh", "lib/nginx.sh", "lib/answers.sh", "lib/front.sh", "lib/rights.sh",
		"lib/room.sh",
	},
	Lock: {"lib/hold.sh"},
	Port: {
		"lib/facts.sh", "lib/inspect.sh", "lib/nginx.sh", "lib/claims.sh", "lib/workers.sh",
		"lib/jobs.sh",
	},
	Ask: {"lib/workers.sh", "lib/jobs.sh"}, Workers: {"lib/workers.sh", "lib/jobs.sh"},
	Setup:  {"lib/site.sh", "lib/units.sh", "lib/rotate.sh", "lib/swap.sh"},
	Verify: {"lib/nginx.sh", "lib/answers.sh", "lib/trial.sh"}, Mark: {"lib/trial.sh"},
	Certificate: {"lib/site.sh", "lib/certificate.sh"}, Maintenance: {"lib/page.sh"},
	Site:    {"lib/site.sh", "lib/nginx.sh", "lib/answers.sh", "lib/front.sh", "lib/kept.sh"},
	Restore: {"lib/kept.sh"}, Remove: {"lib/nginx.sh", "lib/rotate.sh", "lib/kept.sh", "lib/remove.sh"},
}

// sources are the files that make up a verb. What holds the lock stays for the whole run, and its
// text has to fit into a pipe.
func sources(verb Verb) []string {
	all := slices.Concat(libraries, extra[verb], []string{string(verb) + ".sh"})
	if verb != Lock {
		return all
	}
	return slices.DeleteFunc(all, func(file string) bool {
		return file == "lib/memory.sh" || file == "lib/probe.sh"
	})
}

var name = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Compose returns a verb's script as one text, for a bash that reads nothing else: the line that
// opens the results, the values, the exit codes, what all verbs share, and the verb, whose last
// line calls main; then its results are kept. All of it stands between braces, so that bash runs
// nothing of a stream that is cut off. In a conversation the host puts together the same, see
// [Opening]. Values reach the script as they are, byte for byte; only NUL, which a shell variable
// can't hold, is refused.
func Compose(verb Verb, values Values) ([]byte, error) {
	text, err := Assign(verb, values)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBufferString("echo " + Begin + "\n{\n")
	out.Write(text)
	for _, part := range parts(verb) {
		text, err := partText(part)
		if err != nil {
			return nil, fmt.Errorf("compose %s: %w", verb, err)
		}
		out.Write(text)
	}
	out.WriteString("}\n")
	return out.Bytes(), nil
}

// Assign returns the values of a verb as the text that sets them.
func Assign(verb Verb, values Values) ([]byte, error) {
	var out bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !name.MatchString(key) {
			return nil, fmt.Errorf("bug in deploy-action: compose %s: bad variable name %q", verb, key)
		}
		if strings.ContainsRune(values[key], 0) {
			return nil, fmt.Errorf("bug in deploy-action: compose %s: value of %s holds a NUL", verb, key)
		}
		// A variable that the host's environment already exports would stay exported, to every
		// child.
		fmt.Fprintf(&out, "unset -v %[1]s; %[1]s=%[2]s\n", key, shellescape.Quote(values[key]))
	}
	return out.Bytes(), nil
}

// parts are what a verb's script consists of, besides its values: what it needs of its files, and
// between them what has no file.
func parts(verb Verb) []string {
	of := partitioned().of[verb]
	if len(of) == 0 {
		return []string{string(verb)} // there is none
	}
	last := len(of) - 1 // the verb's own file, whose last line calls main
	return slices.Concat([]string{"exits"}, of[:last], begins(verb), of[last:], []string{"end"})
}

// begins are the parts by which a verb awaits its turn.
func begins(verb Verb) []string {
	if verb == Port {
		return []string{"early", "begin"}
	}
	return []string{"begin"}
}

func partText(part string) ([]byte, error) {
	text, found := partitioned().text[part]
	if !found {
		text = ofNoFile(part)
	}
	if text == nil {
		return nil, fmt.Errorf("no part %s", part)
	}
	return text, nil
}

// ofNoFile is the text of a part that has no file; nil for another.
func ofNoFile(part string) []byte {
	switch part {
	case "exits":
		var out bytes.Buffer
		for _, exit := range Exits {
			fmt.Fprintf(&out, "readonly %s=%d\n", exit.Name, exit.Code)
		}
		return out.Bytes()
	case "early":
		return []byte("look_ahead facts\n")
	case "begin":
		return []byte("await_turn\ntrap 'status=$? || :; blame \"$status\"' EXIT\nawait_lock\n")
	case "end":
		return []byte("keep_results\n")
	}
	return nil
}

var bareFiles sync.Map // by name; each is read over and over

func bareFile(file string) ([]byte, error) {
	if text, done := bareFiles.Load(file); done {
		return text.([]byte), nil //nolint:forcetypeassert // nothing else is stored
	}
	text, err := files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text = bare(text)
	bareFiles.Store(file, text)
	return text, nil
}

var aside = regexp.MustCompile(`(?m)^[ \t]*# .*\n`)

// bare is a script without the lines that only people read; a host gets it over and over, perhaps
// from far away. No script has such a line in a text. What is meant for shellcheck stays, for the
// tests.
func bare(text []byte) []byte {
	return aside.ReplaceAllFunc(text, func(line []byte) []byte {
		if bytes.Contains(line, []byte("# shellcheck ")) {
			return line
		}
		return nil
	})
}
