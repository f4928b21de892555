package scripts

import (
	"strconv"
	"time"
)

// Yes writes a switch as scripts take it.
func Yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// Seconds writes a duration in whole seconds, and no less than it is.
func Seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

// Millis writes a duration in milliseconds.
func Millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
