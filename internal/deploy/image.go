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

// imaging makes an image of a host, and has groups launch it.
type imaging struct {
	*run
	recipe     *recipe
	openImages func(context.Context, *cloud.Account) (Images, error)
	image      image
	imagePoll  time.Duration // between two questions
}

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

// image is what a run knows of the one that the groups are to launch.
type image struct {
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

// none: a restart needs one only for another environment.
func (im *imaging) none(*target) bool {
	return !im.in.LaunchImage || im.op.again && im.recipe.renewed() == ""
}

// imageGroups are the names of the groups that are to launch it.
func (im *imaging) imageGroups() []string {
	var names []string
	for _, line := range im.in.Instances {
		if line.Group != "" && !slices.Contains(names, line.Group) {
			names = append(names, line.Group)
		}
	}
	return names
}

// readTemplates finds out before anything is touched what the groups launch, and that an image can be put
// there at all.
func (im *imaging) readTemplates(ctx context.Context) (string, error) {
	if !slices.ContainsFunc(im.present(), isInstance) {
		return "", errors.New("there is no host to make an image of: the input \"launch-image\" needs one that the input " +
			"\"instances\" finds")
	}
	from, err := im.openImages(ctx, im.account)
	if err != nil {
		return "", err
	}
	groups, err := from.Groups(ctx, im.imageGroups())
	if err != nil {
		return "", err
	}
	im.image.from, im.image.groups = from, groups
	if _, err := im.ownImages(ctx); err != nil {
		return "", err
	}
	var said []string
	for _, g := range groups {
		said = append(said, g.String())
	}
	return strings.Join(said, "; "), nil
}

// steps are those under the lock: an image of a deployment that is under way would boot with a
// version that has not proved itself. The disks are as they were when AWS was asked, so other runs need
// not wait for the rest, which is launch.
func (im *imaging) steps() []step {
	if im.none(nil) {
		return nil
	}
	return retire.of([]step{{
		name: imageStep, title: "Making an image of a host", each: im.makeImage, unless: im.isNotImaged, within: 5 * brief,
	}})
}

// isNotImaged leaves the first host that AWS knows and that is this run's. The one that starts the jobs
// by the clock is left only where there is no other: what is launched of its image would start them, too.
func (im *imaging) isNotImaged(h *target) bool {
	var last *target
	for _, other := range im.present() {
		switch {
		case !isInstance(other) || !other.Locked():
		case !im.startsJobs(other):
			return h != other
		default:
			last = other
		}
	}
	return h != last
}

// startsJobs tells whether a host has their timers, now that the release is live.
func (im *imaging) startsJobs(h *target) bool {
	return im.carries(h) && (im.op.makes && len(im.in.Jobs) > 0 || !im.op.makes && h.schedule != "")
}

// isInstance tells a host that AWS knows.
func isInstance(h *target) bool { return h.Address.Alias != "" }

// makeImage begins it. One of the release that is there already, such as that of a run which was killed
// while it waited, or the one that a rollback goes back to, is as good; but none is for a restart, which
// has changed the environment that is in it. Of several the newest counts.
func (im *imaging) makeImage(ctx context.Context, h *target) (string, error) {
	im.image.release, im.image.at = h.release, im.now()
	own, err := im.ownImages(ctx)
	if err != nil {
		return "", err
	}
	for _, i := range own {
		there := i.State == images.Available || i.State == images.Pending
		if there && i.Tags[tagRelease] == h.release && !im.op.again && !im.sharesGroups() {
			im.image.id = i.ID
			return fmt.Sprintf("%s has %s already", i.ID, h.release), nil
		}
	}
	if _, err := h.Exec(ctx, scripts.Sync, nil); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s-%s-%s", im.in.App, h.release, strings.ToLower(rand.Text()[:6]))
	id, err := im.image.from.Make(ctx, h.Address.Alias, name, map[string]string{
		tagApp: im.in.App, tagRelease: h.release, tagRun: im.in.Run.ID,
		tagGroups: strings.Join(im.imageGroups(), betweenGroups),
	})
	if err != nil {
		return "", err
	}
	im.image.id, im.image.made = id, true
	if im.startsJobs(h) {
		im.rep.Warn("Jobs in the image", fmt.Sprintf("%s starts the jobs by the clock, and this run has no other host to "+
			"make an image of: what is launched of %s starts them, too, until the next run finds it", h.Address.Alias, id))
	}
	return fmt.Sprintf("%s of %s, with %s", id, h.Address.Alias, h.release), nil
}

// ownImages are those of this application that are for no other groups, the newest first.
func (im *imaging) ownImages(ctx context.Context) ([]images.Image, error) {
	all, err := im.image.from.Tagged(ctx, tagApp, im.in.App)
	names := im.imageGroups()
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
func (im *imaging) sharesGroups() bool {
	return slices.ContainsFunc(im.image.groups, func(g images.Group) bool {
		of := madeBy.FindStringSubmatch(g.InUse.Description)
		return of != nil && of[1] != im.in.App
	})
}

// description is that of a version of a launch template. Among those of several runs the one whose host was
// in its state later is the newer one.
func (im *imaging) description() string {
	return fmt.Sprintf("deploy-action app=%s release=%s run=%s at=%s", im.in.App, im.image.release, im.in.Run.ID,
		im.image.at.UTC().Format(time.RFC3339))
}

var madeBy = regexp.MustCompile(`^deploy-action app=(\S*) release=\S* run=\S* at=(\S*)$`)

// isNewer tells whether a version was made for a later state than this run's.
func (im *imaging) isNewer(description string) bool {
	of := madeBy.FindStringSubmatch(description)
	if of == nil {
		return false
	}
	at, err := time.Parse(time.RFC3339, of[2])
	return err == nil && at.After(im.image.at)
}

// launch has the groups launch it, once it is there. It is the last that a run does, since that
// takes minutes, in which another run may have the hosts.
func (im *imaging) launch(ctx context.Context) {
	if im.image.id == "" {
		return
	}
	if !im.untidy { // nothing on the hosts is left to do
		im.save(StateEnded, "yes")
	}
	err := context.Cause(ctx)
	if err == nil {
		err = im.do(ctx, step{
			phase: retire, name: imageStep, title: "Having the groups launch the image", once: im.putImage,
			within: imageTime + brief,
		})
	}
	if err != nil {
		im.sayNoImage(err)
	}
}

func (im *imaging) sayNoImage(err error) {
	text := outcome.Describe(err)
	if !strings.HasPrefix(text, imageStep+": ") {
		text = imageStep + ": " + text
	}
	said := "the new version is live; what the groups launch has the release of before, until a deployment has made an " +
		"image: "
	if im.op.again {
		said = "the hosts have the environment of this run; what the groups launch has the one of before, until this " +
			"restart is run again, or another release is deployed: "
	}
	im.rep.Warn("Could not image", said+text)
}

// putImage waits until the image is available, and has the groups launch it. A run that was faster, and
// began later, is not undone.
func (im *imaging) putImage(ctx context.Context) (string, error) {
	got, err := im.awaitImage(ctx)
	if err != nil {
		return "", err
	}
	if im.image.made && got.Open {
		im.rep.Warn("Image", fmt.Sprintf("the image %s and its snapshots are not encrypted, and have the application's "+
			"variables: have EBS encrypt by default in this region, and let the group replace its instances", got.ID))
	}
	groups, err := im.image.from.Groups(ctx, im.imageGroups())
	if err != nil {
		return "", err
	}
	var said []string
	var launching []images.Group
	inUse := []string{got.ID}
	for _, g := range slices.Concat(groups, im.image.groups) {
		inUse = append(inUse, g.InUse.Image)
	}
	for _, g := range groups {
		if im.isNewer(g.InUse.Description) {
			said = append(said, g.Name+" launches what a newer run has made")
			continue
		}
		launching = append(launching, g)
	}
	done, err := im.image.from.Launch(ctx, launching, got.ID, im.description())
	if said = append(said, done...); err != nil {
		for _, line := range said {
			im.rep.Info(line)
		}
		return "", err
	}
	if len(said) == 0 {
		said = []string{got.ID + " is what is launched already"}
	}
	if n := im.pruneImages(ctx, inUse); n > 0 {
		said = append(said, fmt.Sprintf("%d old ones deleted", n))
	}
	return strings.Join(said, "; "), nil
}

func (im *imaging) awaitImage(ctx context.Context) (images.Image, error) {
	began := im.now()
	told, known := began, false
	for {
		got, err := im.image.from.Of(ctx, im.image.id)
		now := im.now()
		switch {
		case err != nil || got.State == images.Available:
			return got, err
		case got.State == images.Unknown && known:
			return got, fmt.Errorf("the image %s is gone: somebody has deregistered it", im.image.id)
		case got.State != images.Pending && got.State != images.Unknown:
			return got, fmt.Errorf("the image %s can't be launched, AWS says that it is %s: %s", im.image.id, got.State,
				got.Why)
		case now.Sub(began) >= imageTime:
			return got, fmt.Errorf("the image %s is not available after %s: the next deployment of this release waits for "+
				"it again", im.image.id, imageTime)
		case now.Sub(told) >= time.Minute:
			told = now
			im.rep.Info(fmt.Sprintf("%s is not available yet, after %s", im.image.id, now.Sub(began).Round(time.Second)))
		}
		known = known || got.State != images.Unknown
		if err := wait(ctx, im.imagePoll); err != nil {
			return got, err
		}
	}
}

// pruneImages takes away those beyond the newest ones which nothing needs: never what a group launches, or
// did before this run. What can't be launched is not counted.
func (im *imaging) pruneImages(ctx context.Context, inUse []string) (gone int) {
	own, err := im.ownImages(ctx)
	kept := 0
	for _, i := range own {
		if i.State == images.Available {
			kept++
		}
		spare := i.State != images.Available || kept > im.in.KeepImages
		if i.State == images.Pending || slices.Contains(inUse, i.ID) || !spare {
			continue
		}
		if err = im.image.from.Remove(ctx, i); err != nil {
			break
		}
		gone++
	}
	if err != nil {
		im.rep.Warn("Image", "image: the groups launch the new one, and old ones stay, and are paid for: "+err.Error())
	}
	return gone
}
