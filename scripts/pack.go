package scripts

import (
	"bytes"
	"compress/gzip"
	"fmt"
)

// Pack returns a script in the form that is sent: a line for bash, and behind it the script as gzip
// makes it. bash reads a script from a pipe byte by byte, so that it takes no more than is its own;
// what comes after the script on standard input stays there here, too, since the line says how many
// bytes are the script's, and dd reads no more than that, where a head may. Sent like this it is a
// third as long, and is read at once.
//
// The script runs only if all of it has come: gzip checks it.
func Pack(script []byte) []byte {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(script)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("scripts: gzip to memory: %v", err)) // of a level that is unknown
	}
	// The line stands between braces for the case that it is cut off itself. An option that the
	// host's environment has for gzip is not for this one, and the script's text is not for its
	// children.
	line := fmt.Sprintf("{ [ -n \"${BASH_VERSION-}\" ] || exit %d; set -o pipefail; unset -v GZIP script; "+
		"script=$(dd bs=%d count=1 iflag=fullblock status=none | gzip -dc) || exit; set +o pipefail; "+
		"eval \"$script\"; }\n", ExitNotBash, packed.Len())
	return append([]byte(line), packed.Bytes()...)
}
