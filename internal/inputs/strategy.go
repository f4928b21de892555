package inputs

import (
	"errors"
	"fmt"
	"regexp"
)

// Strategy says how a new version takes the place of the old one.
type Strategy string

// The strategies.
const (
	BlueGreen Strategy = "blue-green" // both run at once, until the new one has proved itself
	InPlace   Strategy = "in-place"   // one at a time; visitors wait at a socket meanwhile
)

// socketStart is the default of start where the socket is systemd's.
const socketStart = "uvicorn controller.main:app --fd 3"

// ownListener are servers that listen by themselves, unless they are told to take a socket, as
// takesSocket matches. gunicorn takes one of systemd's without being told, and fails if it is told
// besides (gunicorn/sock.py, create_sockets).
var (
	gunicornTold = regexp.MustCompile(`(?:^|[\s;&|/])gunicorn\s.*fd://`)
	ownListener  = regexp.MustCompile(`(?:^|[\s;&|/])(uvicorn|hypercorn|daphne|granian|waitress-serve|flask|fastapi)\s`)
	takesSocket  = regexp.MustCompile(`--fd[ =]|fd://|LISTEN_FDS|/dev/fd/`)
)

func setStrategy(p *parser, value string) error {
	switch p.in.Strategy = Strategy(value); p.in.Strategy {
	case BlueGreen:
		return nil
	case InPlace:
	default:
		return fmt.Errorf("must be \"blue-green\" or \"in-place\" %s", got(value))
	}
	if p.in.Operation != Deploy {
		return nil // nothing is started by the input start
	}
	if p.in.Start == defaultStart {
		p.in.Start = socketStart
	}
	if gunicornTold.MatchString(p.in.Start) {
		return errors.New("with \"in-place\" gunicorn takes the socket by itself, and fails over --bind fd://3 in " +
			"the input start: leave that out")
	}
	if m := ownListener.FindStringSubmatch(p.in.Start); m != nil && !takesSocket.MatchString(p.in.Start) {
		return fmt.Errorf("\"in-place\" needs a command in the input start that takes the socket that it is given "+
			"as descriptor 3, "+
			"and %s listens by itself there: write, for instance, \"uvicorn controller.main:app --fd 3\"", m[1])
	}
	return nil
}
