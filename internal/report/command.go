package report

import "github.com/sethvargo/go-githubactions"

// command writes a workflow command as a line of its own. The encoding is the library's, which is
// that of @actions/core (packages/core/src/command.ts).
func (r *Report) command(name, title, data string) string {
	if r.outside != nil {
		return r.outside.line(name, title, data)
	}
	cmd := githubactions.Command{Name: name, Message: data}
	if title != "" {
		cmd.Properties = githubactions.CommandProperties{"title": title}
	}
	return cmd.String() + "\n"
}
