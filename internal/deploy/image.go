package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/images"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// Images are where AWS makes images of hosts, and has groups launch them.
type Images interface {
	Groups(ctx context.Context, names []string) ([]images.Group, error)
	Tagged(ctx context.Context, key, value string) ([]images.Image, error)
	Of(ctx context.Context, id string) (images.Image, error)
	Make(ctx context.Context, instance, name string, tags map[string]string) (string, error)
	Launch(ctx context.Context, groups []images.Group, image, description string) ([]string, error)
	Remove(ctx context.Context, image images.Image) error
}

func openImages(ctx context.Context, account *cloud.Account) (Images, error) {
	cfg, err := account.Config(ctx)
	if err != nil {
		return nil, err
	}
	return images.New(cfg), nil
}

// imaging is what a run knows of the image that the groups are to launch.
type imaging struct {
	from    Images         // nil before the step templates
	groups  []images.Group // as they were then
	id      string         // of the image; "" before there is one
	made    bool           // by this run
	release string         // that is in it
	at      time.Time      // when that was what the host served, by its lock
}

// What images and their snapshots are known by. The groups are those for which a run has made one.
const (
	tagApp     = "deploy-action:app"
	tagRelease = "deploy-action:release"
	tagRun     = "deploy-action:run"
	tagGroups  = "deploy-action:groups"

	betweenGroups = ", "
)

const (
	imageStep = "image"
	imageTime = 25 * time.Minute // that an image may take to be available
	imagePoll = 5 * time.Second  // between two questions for it
)

// noImage: a restart needs one only for another environment.
func (d *Deployment) noImage(*target) bool {
	return !d.in.LaunchImage || d.op.again && d.renewed() == ""
}

// imageGroups are the names of the groups that are to launch it.
func (d *Deployment) imageGroups() []string {
	var names []string
	for _, line := range d.in.Instances {
		if line.Group != "" && !slices.Contains(names, line.Group) {
			names = append(names, line.Group)
		}
	}
	return names
}

// readTemplates finds out before anything is touched what the groups launch, and that an image can be put
// there at all.
func (d *Deployment) readTemplates(ctx context.Context) (string, error) {
	if !slices.ContainsFunc(d.present(), isInstance) {
		return "", errors.New("there is no host to make an image of: the input \"launch-image\" needs one that the input " +
			"\"instances\" finds")
	}
	from, err := d.openImages(ctx, d.account)
	if err != nil {
		return "", err
	}
	groups, err := from.Groups(ctx, d.imageGroups())
	if err != nil {
		return "", err
	}
	d.image.from, d.image.groups = from, groups
	if _, err := d.ownImages(ctx); err != nil {
		return "", err
	}
	var said []string
	for _, g := range groups {
		said = append(said, g.String())
	}
	return strings.Join(said, "; "), nil
}

// imageSteps are those under the lock: an image of a deployment that is under way would boot with a
// version that has not proved itself. The disks are as they were when AWS was asked, so other runs need
// not wait for the rest, which is launchImage.
func (d *Deployment) imageSteps() []step {
	if d.noImage(nil) {
		return nil
	}
	return retire.of([]step{{
		name: imageStep, title: "Making an image of a host", each: d.makeImage, unless: d.isNotImaged, within: 5 * brief,
	}})
}

// isNotImaged leaves the first host that AWS knows and that is this run's. The one that starts the jobs
// by the clock is left only where there is no other: what is launched of its image would start them, too.
func (d *Deployment) isNotImaged(h *target) bool {
	var last *target
	for _, other := range d.present() {
		switch {
		case !isInstance(other) || !other.Locked():
		case !d.startsJobs(other):
			return h != other
		default:
			last = other
		}
	}
	return h != last
}

// startsJobs tells whether a host has their timers, now that the release is live.
func (d *Deployment) startsJobs(h *target) bool {
	return d.carries(h) && (d.op.makes && len(d.in.Jobs) > 0 || !d.op.makes && h.schedule != "")
}

// isInstance tells a host that AWS knows.
func isInstance(h *target) bool { return h.Address.Alias != "" }

// makeImage begins it. One of the release that is there already, such as that of a run which was killed
// while it waited, or the one that a rollback goes back to, is as good; but none is for a restart, which
// has changed the environment that is in it. Of several the newest counts.
func (d *Deployment) makeImage(ctx context.Context, h *target) (string, error) {
	d.image.release, d.image.at = h.release, d.now()
	own, err := d.ownImages(ctx)
	if err != nil {
		return "", err
	}
	for _, i := range own {
		there := i.State == images.Available || i.State == images.Pending
		if there && i.Tags[tagRelease] == h.release && !d.op.again && !d.sharesGroups() {
			d.image.id = i.ID
			return fmt.Sprintf("%s has %s already", i.ID, h.release), nil
		}
	}
	if _, err := h.Exec(ctx, scripts.Sync, nil); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s-%s-%s", d.in.App, h.release, strings.ToLower(rand.Text()[:6]))
	id, err := d.image.from.Make(ctx, h.Address.Alias, name, map[string]string{
		tagApp: d.in.App, tagRelease: h.release, tagRun: d.in.Run.ID,
		tagGroups: strings.Join(d.imageGroups(), betweenGroups),
	})
	if err != nil {
		return "", err
	}
	d.image.id, d.image.made = id, true
	if d.startsJobs(h) {
		d.rep.Warn("Jobs in the image", fmt.Sprintf("%s starts the jobs by the clock, and this run has no other host to "+
			"make an image of: what is launched of %s starts them, too, until the next run finds it", h.Address.Alias, id))
	}
	return fmt.Sprintf("%s of %s, with %s", id, h.Address.Alias, h.release), nil
}

// ownImages are those of this application that are for no other groups, the newest first.
func (d *Deployment) ownImages(ctx context.Context) ([]images.Image, error) {
	all, err := d.image.from.Tagged(ctx, tagApp, d.in.App)
	names := d.imageGroups()
	return slices.DeleteFunc(all, func(i images.Image) bool {
		for name := range strings.SplitSeq(i.Tags[tagGroups], betweenGroups) {
			if !slices.Contains(names, name) {
				return true
			}
		}
		return false
	}), err
}

// sharesGroups tells whether another application has put its images into the groups: theirs has what this
// one served by then, and an older one of this application's does not have what that serves now.
func (d *Deployment) sharesGroups() bool {
	return slices.ContainsFunc(d.image.groups, func(g images.Group) bool {
		of := madeBy.FindStringSubmatch(g.InUse.Description)
		return of != nil && of[1] != d.in.App
	})
}

// description is that of a version of a launch template. Among those of several runs the one whose host was
// in its state later is the newer one.
func (d *Deployment) description() string {
	return fmt.Sprintf("deploy-action app=%s release=%s run=%s at=%s", d.in.App, d.image.release, d.in.Run.ID,
		d.image.at.UTC().Format(time.RFC3339))
}

var madeBy = regexp.MustCompile(`^deploy-action app=(\S*) release=\S* run=\S* at=(\S*)$`)

// isNewer tells whether a version was made for a later state than this run's.
func (d *Deployment) isNewer(description string) bool {
	of := madeBy.FindStringSubmatch(description)
	if of == nil {
		return false
	}
	at, err := time.Parse(time.RFC3339, of[2])
	return err == nil && at.After(d.image.at)
}

// launchImage has the groups launch it, once it is there. It is the last that a run does, since that
// takes minutes, in which another run may have the hosts.
func (d *Deployment) launchImage(ctx context.Context) {
	if d.image.id == "" {
		return
	}
	if !d.untidy { // nothing on the hosts is left to do
		d.save(StateEnded, "yes")
	}
	err := context.Cause(ctx)
	if err == nil {
		err = d.do(ctx, step{
			phase: retire, name: imageStep, title: "Having the groups launch the image", once: d.putImage,
			within: imageTime + brief,
		})
	}
	if err != nil {
		d.sayNoImage(err)
	}
}

func (d *Deployment) sayNoImage(err error) {
	text := outcome.Describe(err)
	if !strings.HasPrefix(text, imageStep+": ") {
		text = imageStep + ": " + text
	}
	said := "the new version is live; what the groups launch has the release of before, until a deployment has made an " +
		"image: "
	if d.op.again {
		said = "the hosts have the environment of this run; what the groups launch has the one of before, until this " +
			"restart is run again, or another release is deployed: "
	}
	d.rep.Warn("Could not image", said+text)
}

// putImage waits until the image is available, and has the groups launch it. A run that was faster, and
// began later, is not undone.
func (d *Deployment) putImage(ctx context.Context) (string, error) {
	got, err := d.awaitImage(ctx)
	if err != nil {
		return "", err
	}
	if d.image.made && got.Open {
		d.rep.Warn("Image", fmt.Sprintf("the image %s and its snapshots are not encrypted, and have the application's "+
			"variables: have EBS encrypt by default in this region, and let the group replace its instances", got.ID))
	}
	groups, err := d.image.from.Groups(ctx, d.imageGroups())
	if err != nil {
		return "", err
	}
	var said []string
	var launching []images.Group
	inUse := []string{got.ID}
	for _, g := range slices.Concat(groups, d.image.groups) {
		inUse = append(inUse, g.InUse.Image)
	}
	for _, g := range groups {
		if d.isNewer(g.InUse.Description) {
			said = append(said, g.Name+" launches what a newer run has made")
			continue
		}
		launching = append(launching, g)
	}
	done, err := d.image.from.Launch(ctx, launching, got.ID, d.description())
	if said = append(said, done...); err != nil {
		for _, line := range said {
			d.rep.Info(line)
		}
		return "", err
	}
	if len(said) == 0 {
		said = []string{got.ID + " is what is launched already"}
	}
	if n := d.pruneImages(ctx, inUse); n > 0 {
		said = append(said, fmt.Sprintf("%d old ones deleted", n))
	}
	return strings.Join(said, "; "), nil
}

func (d *Deployment) awaitImage(ctx context.Context) (images.Image, error) {
	began := d.now()
	told, known := began, false
	for {
		got, err := d.image.from.Of(ctx, d.image.id)
		now := d.now()
		switch {
		case err != nil || got.State == images.Available:
			return got, err
		case got.State == images.Unknown && known:
			return got, fmt.Errorf("the image %s is gone: somebody has deregistered it", d.image.id)
		case got.State != images.Pending && got.State != images.Unknown:
			return got, fmt.Errorf("the image %s can't be launched, AWS says that it is %s: %s", d.image.id, got.State,
				got.Why)
		case now.Sub(began) >= imageTime:
			return got, fmt.Errorf("the image %s is not available after %s: the next deployment of this release waits for "+
				"it again", d.image.id, imageTime)
		case now.Sub(told) >= time.Minute:
			told = now
			d.rep.Info(fmt.Sprintf("%s is not available yet, after %s", d.image.id, now.Sub(began).Round(time.Second)))
		}
		known = known || got.State != images.Unknown
		if err := wait(ctx, d.imagePoll); err != nil {
			return got, err
		}
	}
}

// pruneImages takes away those beyond the newest ones which nothing needs: never what a group launches, or
// did before this run. What can't be launched is not counted.
func (d *Deployment) pruneImages(ctx context.Context, inUse []string) (gone int) {
	own, err := d.ownImages(ctx)
	kept := 0
	for _, i := range own {
		if i.State == images.Available {
			kept++
		}
		spare := i.State != images.Available || kept > d.in.KeepImages
		if i.State == images.Pending || slices.Contains(inUse, i.ID) || !spare {
			continue
		}
		if err = d.image.from.Remove(ctx, i); err != nil {
			break
		}
		gone++
	}
	if err != nil {
		d.rep.Warn("Image", "image: the groups launch the new one, and old ones stay, and are paid for: "+err.Error())
	}
	return gone
}
