package report

// The outputs of the action, as action.yml declares them.
const (
	OutputOutcome         = "outcome"
	OutputActivePort      = "active-port"
	OutputPreviousPort    = "previous-port"
	OutputRelease         = "release"
	OutputPreviousRelease = "previous-release"
	OutputDuration        = "duration"
	OutputSwitchedAt      = "switched-at"
	OutputSite            = "site"
	OutputURL             = "url"
	OutputHosts           = "hosts"
	OutputSkipped         = "skipped"
)

// Outputs lists them in the order of action.yml.
func Outputs() []string {
	return []string{
		OutputOutcome, OutputActivePort, OutputPreviousPort, OutputRelease, OutputPreviousRelease,
		OutputDuration, OutputSwitchedAt, OutputSite, OutputURL, OutputHosts, OutputSkipped,
	}
}
