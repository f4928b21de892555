package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/s3"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/workspace"
)

// Deployment is one run of the action.
type Deployment struct {
	engine
	in             *inputs.Inputs
	op             operation // that the input names
	open           Opener
	begin          time.Time
	told           sync.Mutex                      // guards details
	details        string                          // Markdown for the summary
	proved         time.Time                       // when the new version had proved itself
	untidy         bool                            // something is left for the post step
	saved          func(string) string             // for Tidy: what the run that was cut off has left
	tree           func() (*workspace.Tree, error) // walks through the workspace, once
	hashed         func() (*workspace.Tree, error) // and hashes it, once
	fromAWS        []inputs.Variable               // none before the step env-from
	openParameters func(context.Context, *cloud.Account) (Parameters, error)
	account        *cloud.Account // as whom AWS is asked
	openInstances  func(context.Context, *cloud.Account) (Instances, error)
	openBalancers  func(context.Context, *cloud.Account) (Balancers, error)
	balancers      Balancers         // nil before the step targets
	targetPoll     time.Duration     // between two questions
	holdEvery      time.Duration     // between two words to a launch hook
	bootPoll       time.Duration     // between two tries to log in to a host that may boot
	private        map[string]string // of found hosts, by their instances' ids: the address in their network
	joins          bool              // it is the pass for hosts that came while the run was under way
	before         earlier           // in such a pass: the run before
	joined         []*target         // that such a pass has brought the release
	heldBy         map[string]string // likewise, of those that wait for their launch to be completed: the group
	listed         listing           // of those that are found, when it was last asked for since
	dial           host.Dialer
	token          string  // names the run
	packs          packs   // of what is sent to several hosts
	store          Store   // nil before the step resolve
	assets         []asset // as that found them

	skipped []*target // that are left out

	foundBy []inputs.Instances // by what the run before has found its hosts, in the pass for those that came

	fetches    chan struct{} // holds the turns that are taken
	fetchPause time.Duration // before the second try

	wanted chan string // of several hosts: has the commit that one has found ref to be

	openImages func(context.Context, *cloud.Account) (Images, error)
	image      imaging
	imagePoll  time.Duration // between two questions
}

// operation is what a run does by what was asked for.
type operation struct {
	steps   func(d *Deployment, deployment []step) []step // those of a whole deployment among them
	success outcome.Outcome                               // where a host was changed; else it is unchanged
	live    bool                                          // a release goes live
	makes   bool                                          // that one is made: else it is on the host already
	again   bool                                          // it is the one that serves
	needs   bool                                          // a release that serves must be there
	tools   bool                                          // what it takes to make one must be there
	asks    bool                                          // nothing is changed
	history bool                                          // a failure is written down on the host
}

// Store is where assets come from.
type Store interface {
	Find(ctx context.Context, bucket, key string) (s3.Object, error)
	Sign(ctx context.Context, object s3.Object) (url string, until time.Time, err error)
	Secrets(ctx context.Context) []string
}

// Opener opens the store, once a deployment has assets.
type Opener func(ctx context.Context, account *cloud.Account, endpoint string) (Store, error)

// asset is a file that the release needs, as it is in the store now.
type asset struct {
	inputs.Asset
	object s3.Object
	proof  s3.Proof
}

func (d *Deployment) changes() bool {
	return !d.in.DryRun && d.op.live
}

func (d *Deployment) save(name, value string) {
	if err := d.rep.State(name, value); err != nil {
		d.rep.Debug(err.Error()) // the next deployment tidies too
	}
}

// saveRelease has the post step know which release goes live on a host, and where: one host may have
// it under another id than the others.
func (d *Deployment) saveRelease(h *target, release string) {
	d.save(StateRelease, release)
	d.save(portState(slices.Index(d.in.Hosts, h.Address)), h.idlePort()+" "+release)
}

func portState(host int) string { return fmt.Sprint(StatePort, host) }

// savedOf is what the run that was cut off has saved of a host: the port, and the release that goes
// live there. Where no release stands beside the port, the one that was saved for all hosts counts.
func (d *Deployment) savedOf(h *target) (port, release string) {
	port, release, _ = strings.Cut(d.saved(portState(slices.Index(d.in.Hosts, h.Address))), " ")
	return port, cmp.Or(release, d.saved(StateRelease))
}

func (d *Deployment) sendsNothing(*target) bool {
	return d.in.Source != inputs.Workspace || !d.op.makes
}

// What Run saves for the post step, as it goes.
const (
	StateBegun   = "begun"   // a host may be changed from here on
	StateRelease = "release" // the release that goes live, for hosts that have none beside their port
	StatePort    = "port-"   // and the number of a host: where it does there, and the release by its id there
	StateHosts   = "hosts"   // that were found
	StateEnded   = "ended"   // nothing is left to tidy
)
