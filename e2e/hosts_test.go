package e2e

import (
	"testing"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// The hosts of the main scenarios. All other tests have the zero value's, which is Debian 12.
var (
	debian12 = namedHost{"Debian 12", lab.HostOptions{Release: lab.Bookworm}}
	debian13 = namedHost{"Debian 13", lab.HostOptions{Release: lab.Trixie}}
	plain    = namedHost{"Debian 12 without systemd", lab.HostOptions{Release: lab.Bookworm, NoSystemd: true}}
)

type namedHost struct {
	name    string
	options lab.HostOptions
}

// hostsOf chooses the hosts that a main scenario is tried on.
var hostsOf = map[string][]namedHost{
	"TestFirstDeploymentAndTheNext":                   {debian12, debian13, plain},
	"TestABadReleaseLeavesTheOldOneServing":           {debian12, debian13},
	"TestRollbackPassesOverWhatNeverServed":           {debian12, debian13},
	"TestTakeoverUnderLoad":                           {debian12, debian13},
	"TestRebootBringsBackTheActiveRelease":            {debian12, debian13},
	"TestABareHostIsDeployedToInOneRun":               {debian12, debian13},
	"TestAnNginxWhoseInstallationWasCutOffIsFinished": {debian12, debian13},
	"TestWorkersBelongToTheirRelease":                 {debian12, debian13},
	"TestJobsByTheClock":                              {debian12, debian13},
	"TestEnvironmentArrivesByteForByte":               {debian12, plain},
	"TestRestart":                                     {debian12, plain},
}

// itsHosts are the hosts of a main scenario, which is parallel from here on.
func itsHosts(t *testing.T) []namedHost {
	t.Helper()
	t.Parallel()
	hosts := hostsOf[t.Name()]
	if len(hosts) < 2 {
		t.Fatalf("hostsOf has %d hosts for %s", len(hosts), t.Name())
	}
	return hosts
}
