package deploy

import (
	"errors"
	"regexp"
	"strings"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/scripts"
)

// gitServerFailed tells whether the git server, or the way to it, is why a fetch failed, so that
// another try may help. Git has one exit status for all that it fails at: only its words tell, which
// are the same in every locale (scripts/lib/base.sh sets C).
func gitServerFailed(err error) bool {
	var no *host.Error
	if !errors.As(err, &no) || no.Code != scripts.ExitFetch {
		return false
	}
	words := strings.Join(no.Evidence, "\n")
	return gitPasses.MatchString(words) && !gitAnswers.MatchString(words)
}

var (
	// What an answer says: the next try would get the same.
	gitAnswers = regexp.MustCompile(`remote error:|(error:|HTTP) 40[0-9]|Authentication failed|could not read ` +
		`(Username|Password)|not found|certificate`)
	// What git, libcurl with OpenSSL or GnuTLS, and git-lfs say of a busy server and a broken line.
	gitPasses = regexp.MustCompile(`(error:|HTTP) (429|5[0-9][0-9])|Rate limit exceeded|Server error|` +
		`Could not resolve host|[Ff]ailed to connect|Couldn't connect|` +
		`[Cc]onnection (was )?(timed out|refused|reset|closed)|` +
		`[Tt]imed out|Operation too slow|Empty reply|hung up unexpectedly|early EOF|unexpected disconnect|` +
		`(Recv|Send) failure|recv error|unreachable|No route to host|SSL_ERROR_SYSCALL|SSL_read|not closed cleanly|` +
		`HTTP/2 stream|transfer closed|TLS connection was non-properly terminated`)
)
