// Package images makes images of instances of EC2's, and has Auto Scaling groups launch them. It knows
// nothing of deployments.
//
// Its errors carry their remedy in their own text.
package images

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/clothesme/deploy-action/internal/cloud/query"
)

// Image is one of this account's.
type Image struct {
	ID        string
	State     State
	Why       string            // it is in that state, where AWS says so
	Made      string            // when that began, in a form that sorts
	Tags      map[string]string // by their keys
	Snapshots []string
	Open      bool // a disk of it is not encrypted
}

// State is AWS's: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Image.html
type State string

// The states that matter here. In any other one it will never be launched.
const (
	Unknown   State = "" // AWS does not know it yet, or any more
	Pending   State = "pending"
	Available State = "available"
)

// Images asks AWS.
type Images struct{ aws *query.Client }

// New returns Images that ask as cfg says.
func New(cfg aws.Config) *Images { return &Images{query.New(cfg)} }

// Tagged are this account's images with a tag, the newest first.
func (i *Images) Tagged(ctx context.Context, key, value string) ([]Image, error) {
	found, err := i.describe(ctx, url.Values{
		"Owner.1": {"self"}, "Filter.1.Name": {"tag:" + key}, "Filter.1.Value.1": {value},
	})
	slices.SortStableFunc(found, func(a, b Image) int { return strings.Compare(b.Made, a.Made) })
	return found, err
}

// Of is an image as it is now.
func (i *Images) Of(ctx context.Context, id string) (Image, error) {
	found, err := i.describe(ctx, url.Values{"ImageId.1": {id}})
	if err == nil && len(found) == 1 {
		return found[0], nil
	}
	if is(err, gone...) {
		err = nil
	}
	return Image{ID: id}, err
}

// gone are the codes for an image that AWS does not know, yet or any more.
var gone = []string{"InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"}

// Make begins an image of an instance, with its disks as they are at this moment. The instance goes on
// running. The name is one that nobody else uses: an image that has it is this call's, even if AWS's
// answer to a first try was lost.
func (i *Images) Make(ctx context.Context, instance, name string, tags map[string]string) (id string, err error) {
	values := url.Values{"InstanceId": {instance}, "Name": {name}, "NoReboot": {"true"}}
	for n, kind := range []string{"image", "snapshot"} {
		prefix := fmt.Sprintf("TagSpecification.%d.", n+1)
		values.Set(prefix+"ResourceType", kind)
		for m, key := range slices.Sorted(maps.Keys(tags)) {
			values.Set(fmt.Sprintf("%sTag.%d.Key", prefix, m+1), key)
			values.Set(fmt.Sprintf("%sTag.%d.Value", prefix, m+1), tags[key])
		}
	}
	var made struct {
		ID string `xml:"imageId"`
	}
	err = i.aws.Ask(ctx, query.EC2, "CreateImage", values, &made)
	if is(err, "InvalidAMIName.Duplicate") {
		var found []Image
		found, err = i.describe(ctx, url.Values{"Owner.1": {"self"}, "Filter.1.Name": {"name"}, "Filter.1.Value.1": {name}})
		if len(found) == 1 {
			made.ID = found[0].ID
		}
	}
	if err == nil && made.ID == "" {
		err = fmt.Errorf("AWS does not name the image that it makes of instance %s", instance)
	}
	return made.ID, err
}

// Remove takes an image and its snapshots away. What is gone already is as good.
//
// AWS is asked to do both at once, as nobody would find the snapshots of a run that ends between the
// two. It leaves them, and says success, where the role may not delete them or another image has them
// too (EC2 API, DeregisterImage): each is asked for by itself, which tells why it stays.
func (i *Images) Remove(ctx context.Context, image Image) error {
	err := i.aws.Ask(ctx, query.EC2, "DeregisterImage",
		url.Values{"ImageId": {image.ID}, "DeleteAssociatedSnapshots": {"true"}}, nil)
	if err != nil && !is(err, gone...) {
		return err
	}
	var errs []error
	for _, snapshot := range image.Snapshots {
		err := i.aws.Ask(ctx, query.EC2, "DeleteSnapshot", url.Values{"SnapshotId": {snapshot}}, nil)
		if err != nil && !is(err, "InvalidSnapshot.NotFound") {
			errs = append(errs, fmt.Errorf("the image %s is gone, and its snapshot %s stays, and is paid for, until somebody "+
				"deletes it: %w", image.ID, snapshot, err))
		}
	}
	return errors.Join(errs...)
}

func (i *Images) describe(ctx context.Context, values url.Values) ([]Image, error) {
	var all []Image
	for {
		var page struct {
			Images []struct {
				ID    string `xml:"imageId"`
				State State  `xml:"imageState"`
				Why   string `xml:"stateReason>message"`
				Made  string `xml:"creationDate"`
				Tags  []struct {
					Key   string `xml:"key"`
					Value string `xml:"value"`
				} `xml:"tagSet>item"`
				Disks []struct {
					Snapshot  string `xml:"ebs>snapshotId"`
					Encrypted bool   `xml:"ebs>encrypted"`
				} `xml:"blockDeviceMapping>item"`
			} `xml:"imagesSet>item"`
			Next string `xml:"nextToken"`
		}
		if err := i.aws.Ask(ctx, query.EC2, "DescribeImages", values, &page); err != nil {
			return nil, err
		}
		for _, found := range page.Images {
			image := Image{ID: found.ID, State: found.State, Why: found.Why, Made: found.Made, Tags: map[string]string{}}
			for _, tag := range found.Tags {
				image.Tags[tag.Key] = tag.Value
			}
			for _, disk := range found.Disks {
				if disk.Snapshot != "" { // else it is one that ends with its instance
					image.Snapshots = append(image.Snapshots, disk.Snapshot)
					image.Open = image.Open || !disk.Encrypted
				}
			}
			all = append(all, image)
		}
		if page.Next == "" {
			return all, nil
		}
		values.Set("NextToken", page.Next)
	}
}

func is(err error, codes ...string) bool {
	var no *query.Error
	return errors.As(err, &no) && slices.Contains(codes, no.Code)
}
