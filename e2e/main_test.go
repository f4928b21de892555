package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/world"
)

// longest are the scenarios that begin first, with how long they took, about, on two cores: those
// above two minutes. Each run prints its ten longest.
var longest = map[string]time.Duration{
	"TestThirtyDeploymentsInARowLoseNothing":          7 * time.Minute,
	"TestDeploymentsLeaveNoMoreThanTheirReleases":     6 * time.Minute,
	"TestJobsByTheClock/Debian_12":                    6 * time.Minute,
	"TestJobsByTheClock/Debian_13":                    6 * time.Minute,
	"TestADiskForAFewVenvs":                           5 * time.Minute,
	"TestARunnerThatDiesDuringAReplacement":           4 * time.Minute,
	"TestFromOneStrategyToTheOther":                   4 * time.Minute,
	"TestABadReleaseLeavesTheOldOneServing/Debian_12": 4 * time.Minute,
	"TestABadReleaseLeavesTheOldOneServing/Debian_13": 4 * time.Minute,
	"TestRoutineDeploymentsNeedNoGeneralSudo":         4 * time.Minute,
	"TestReportsApps/host_1":                          4 * time.Minute,
	"TestDetectionHealsWhatHandsBroke":                4 * time.Minute,
	"TestAttacksOnAHost":                              3 * time.Minute,
	"TestTakeoverUnderLoad/Debian_12":                 3 * time.Minute,
	"TestTakeoverUnderLoad/Debian_13":                 3 * time.Minute,
	"TestAssetThatCannotBeHadLeavesTheOldVersion":     3 * time.Minute,
	"TestOneVersionAtATimeLosesNothing":               3 * time.Minute,
	"TestOneVersionAtATimeIsAsGood":                   3 * time.Minute,
	"TestReportsConf/host_1":                          3 * time.Minute,
}

func TestMain(m *testing.M) { os.Exit(world.Main(m, longest)) }

// A test that was renamed would lose its place, or its hosts, and nobody would notice.
func TestTheTablesNameTests(t *testing.T) {
	names := map[string]bool{}
	for name := range hostsOf {
		names[name] = true
	}
	for name := range longest {
		top, _, _ := strings.Cut(name, "/")
		names[top] = true
	}
	var source strings.Builder
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	for name := range names {
		if !strings.Contains(source.String(), "\nfunc "+name+"(t *testing.T) {") {
			t.Errorf("there is no %s any more", name)
		}
	}
}
