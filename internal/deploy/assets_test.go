package deploy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/cloud/s3"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/scripts"
)

// withAssets is a deployment of two assets: one that its ETag proves, one that nothing does.
func withAssets(t *testing.T) (*fakeHost, *inputs.Inputs) {
	t.Helper()
	f, in := newFakeHost(t), testInputs()
	f.store = &fakeStore{until: time.Now().Add(time.Hour), objects: map[string]s3.Object{
		"models/a": {ETag: "etag-a", MD5: "aa", Size: 3_000_000}, "models/b": {
			ETag: strings.Repeat("b", 32) + "-2",
			Size: 5_000_000,
		},
	}}
	in.Assets = []inputs.Asset{{Bucket: "models", Key: "a", Path: "m/a"}, {Bucket: "models", Key: "b", Path: "m/b"}}
	return f, in
}

func assetCalls(f *fakeHost) []string {
	var calls []string
	for _, call := range f.calls {
		if strings.HasPrefix(call, "assets ") {
			calls = append(calls, call)
		}
	}
	return calls
}

func TestAssetsAreFetchedBetweenBuildAndStart(t *testing.T) {
	f, in := withAssets(t)
	result, log, err := deployTo(t, f, in)
	if err != nil || result.Outcome != outcome.Deployed {
		t.Fatalf("Run: %v\n%s", err, log)
	}
	b := "assets " + strings.Repeat("b", 32) + "-2 https://models/b?signature=2"
	if !strings.Contains(strings.Join(f.calls, ","),
		"fetch,build,assets aa https://models/a?signature=1,"+b+",start 8081") {
		t.Errorf("calls %v", f.calls)
	}
	for _, words := range []string{
		"✓ resolve: 2 found, 8.0 MB in all", "m/a, 3.0 MB of 3.0 MB fetched, proved by its ETag, an MD5; m/b, 5.0 " +
			"MB of 5.0 MB fetched, proved by size and ETag alone",
		"::warning title=Asset m/b::nothing but size and ETag alone vouches for s3://models/b",
	} {
		if !strings.Contains(log, words) {
			t.Errorf("the log lacks %q:\n%s", words, log)
		}
	}
}

// Only the host can tell whether the parts were of a length that is in use.
func TestPartsOfAnUnknownLengthProveNothing(t *testing.T) {
	f, in := withAssets(t)
	in.Assets = in.Assets[:1]
	for _, tt := range []struct {
		etag, want string
		warned     bool
	}{{"-2", "proved by its ETag, the MD5 of its parts' MD5s", false}, {"-9", "proved by size and ETag alone", true}} {
		etag := strings.Repeat("c", 32) + tt.etag
		f.store.objects["models/a"] = s3.Object{ETag: etag, Parts: etag, Size: 3_000_000}
		_, log, err := deployTo(t, f, in)
		if err != nil || !strings.Contains(log, tt.want) ||
			strings.Contains(log, "::warning title=Asset m/a::nothing but size and ETag alone") != tt.warned {
			t.Errorf("%s: err %v\n%s", tt.etag, err, log)
		}
	}
}

func TestAChangedAssetMakesAnotherRelease(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*fakeStore, *inputs.Inputs)
		want   outcome.Outcome
	}{
		{"nothing", func(*fakeStore, *inputs.Inputs) {}, outcome.Unchanged},
		{"another version of the same content", func(s *fakeStore, _ *inputs.Inputs) {
			o := s.objects["models/a"]
			o.Version = "v2"
			s.objects["models/a"] = o
		}, outcome.Unchanged},
		{"another content", func(s *fakeStore, _ *inputs.Inputs) {
			s.objects["models/a"] = s3.Object{ETag: "x", MD5: "cc"}
		}, outcome.Deployed},
		{"another place", func(_ *fakeStore, in *inputs.Inputs) { in.Assets[0].Path = "m/c" }, outcome.Deployed},
		{"one less", func(_ *fakeStore, in *inputs.Inputs) { in.Assets = in.Assets[:1] }, outcome.Deployed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, in := withAssets(t)
			in.Ref = oldCommit
			var had target
			for _, a := range in.Assets {
				o := f.store.objects[a.Bucket+"/"+a.Key]
				had.assets = append(had.assets, asset{a, o, o.Proof("")})
			}
			activeRecipe = assemble(&run{in: in}).recipe.of(&had)
			t.Cleanup(func() { activeRecipe = "other" })
			tt.change(f.store, in)
			result, log, err := deployTo(t, f, in)
			if err != nil || result.Outcome != tt.want {
				t.Errorf("err %v, outcome %s, want %s\n%s", err, result.Outcome, tt.want, log)
			}
			if tt.want == outcome.Unchanged && len(assetCalls(f)) > 0 {
				t.Errorf("calls %v", f.calls)
			}
		})
	}
}

func TestAnAssetThatCannotBeHad(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(*fakeHost, *inputs.Inputs)
		calls   []string
		want    string // "" for success
	}{
		{"no credentials", func(f *fakeHost, _ *inputs.Inputs) { f.store = nil }, nil, "resolve: no AWS credentials"},
		{
			"all missing are named at once", func(f *fakeHost, _ *inputs.Inputs) { f.store.objects = nil }, nil,
			"resolve: look up s3://models/a: no such object\nlook up s3://models/b: no such object",
		},
		{"refused", func(f *fakeHost, _ *inputs.Inputs) {
			f.faults[scripts.Assets] = fault{kind: "error", code: scripts.ExitAssetRefused, words: "S3 refuses"}
		}, []string{"assets aa https://models/a?signature=1"}, "assets: S3 refuses"},
		{"refused as the URL has ended", func(f *fakeHost, _ *inputs.Inputs) {
			f.store.first = time.Unix(0, 0)
			f.faults[scripts.Assets] = fault{kind: "error", code: scripts.ExitAssetRefused, words: "S3 refuses"}
		}, []string{"assets aa https://models/a?signature=1", "assets aa https://models/a?signature=2"}, ""},
		{"credentials that have ended", func(f *fakeHost, _ *inputs.Inputs) {
			f.store.until = time.Unix(0, 0)
			f.faults[scripts.Assets] = fault{kind: "error", code: scripts.ExitAssetRefused, words: "S3 refuses"}
		}, []string{"assets aa https://models/a?signature=1"}, "assets: the AWS credentials have ended: they must " +
			"last longer than the deployment takes until here"},
		{"replaced", func(f *fakeHost, _ *inputs.Inputs) {
			f.faults[scripts.Assets] = fault{kind: "error", code: scripts.ExitAssetStale, words: "replaced"}
		}, []string{"assets aa https://models/a?signature=1", "assets aa https://models/a?signature=2"}, ""},
		{"wrong", func(f *fakeHost, _ *inputs.Inputs) {
			f.faults[scripts.Assets] = fault{kind: "error", code: scripts.ExitAssetWrong, words: "not the file"}
		}, []string{"assets aa https://models/a?signature=1"}, "assets: not the file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, in := withAssets(t)
			tt.prepare(f, in)
			_, log, err := deployTo(t, f, in)
			got := assetCalls(f)
			if tt.want == "" {
				if err != nil {
					t.Fatalf("Run: %v\n%s", err, log)
				}
				got = got[:len(got)-1] // the second asset's
			} else if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
			if diff := cmp.Diff(tt.calls, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			checkServing(t, f)
			if tt.want != "" && f.flag != "8080" {
				t.Errorf("flag %s", f.flag)
			}
		})
	}
}

// All hosts of a run have the object that it began with, or none gets the release.
func TestHostsGetOneVersionOfAnAsset(t *testing.T) {
	was := s3.Object{ETag: "etag-a", MD5: "aa", Size: 3_000_000, Version: "v1"}
	replaced := s3.Object{ETag: "etag-b", MD5: "bb", Size: 3_000_000}
	again := was
	again.Version = "v2"
	for _, tt := range []struct {
		name  string
		stale bool // what one of the hosts is about to fetch
		then  s3.Object
		finds int
		url   string // of that host's last download
		fails string
	}{
		{name: "it stays", then: was, finds: 1, url: "&version=v1"},
		{name: "a newer version comes, and the one that was found is kept", then: replaced, finds: 1, url: "&version=v1"},
		{name: "the same content comes anew", stale: true, then: again, finds: 2, url: "&version=v2"},
		{
			name: "it is replaced", stale: true, then: replaced, finds: 2, url: "&version=v1",
			fails: "assets: s3://models/a was replaced in S3 during this run (ETag etag-b, before etag-a), and hosts that",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl := newFleet(t, 3)
			in := fl.inputs()
			in.Assets = []inputs.Asset{{Bucket: "models", Key: "a", Path: "m/a"}}
			fl[0].store = &fakeStore{
				until: time.Now().Add(time.Hour), objects: map[string]s3.Object{"models/a": was},
				then: map[string]s3.Object{"models/a": tt.then},
			}
			if tt.stale {
				fl[1].faults[scripts.Assets] = fault{kind: "error", code: scripts.ExitAssetStale, words: "replaced"}
			}
			result, log, err := fl.deploy(t, in)
			if want := "m/a is version v1 of s3://models/a\n"; !strings.Contains(log, want) {
				t.Errorf("the log lacks %q:\n%s", want, log)
			}
			if n := fl[0].store.finds["models/a"]; n != tt.finds {
				t.Errorf("looked up %d times, want %d", n, tt.finds)
			}
			if url := fl[1].sent[scripts.Assets]["url"]; !strings.HasSuffix(url, tt.url) {
				t.Errorf("the second host fetches %s, want %s", url, tt.url)
			}
			if tt.fails == "" {
				if err != nil || result.Outcome != outcome.Deployed {
					t.Errorf("%v\n%s", err, log)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.fails) ||
				!strings.Contains(err.Error(), "host: ubuntu@web-2\n") ||
				result.Outcome != outcome.Failed || fl.flags() != "8080 8080 8080" {
				t.Errorf("%s, flags %s: %v", result.Outcome, fl.flags(), err)
			}
		})
	}
}

// A host that joins while the run is under way gets what the others have, whatever was uploaded since;
// else the newer object would make another release of it, for all of them.
func TestAHostThatJoinsGetsTheSameAssets(t *testing.T) {
	fl := newFleet(t, 3)
	in := findInputs()
	in.Strategy, in.Assets = inputs.BlueGreen, []inputs.Asset{{Bucket: "models", Key: "a", Path: "m/a"}}
	was := s3.Object{ETag: "etag-a", MD5: "aa", Size: 3_000_000, Version: "v1"}
	fl[0].store = &fakeStore{
		until: time.Now().Add(time.Hour), objects: map[string]s3.Object{"models/a": was},
		then: map[string]s3.Object{"models/a": {ETag: "etag-b", MD5: "bb", Size: 3_000_000, Version: "v2"}},
	}
	remembered(t, fl, in)
	had := chosen{assets: []asset{{in.Assets[0], was, was.Proof("")}}}
	activeRecipe = assemble(&run{in: in}).recipe.of(&target{chosen: had})
	_, log, _, err := fl.finding(t, in, &fakeInstances{answers: []*instances.Found{foundAs(1, 2), foundAs(1, 2, 3)}})
	if err != nil || fl.flags() != "8081 8081 8081" || len(assetCalls(fl[0])) != 1 {
		t.Fatalf("%v, flags %s, %v\n%s", err, fl.flags(), fl[0].calls, log)
	}
	for i, f := range fl {
		if url := f.sent[scripts.Assets]["url"]; !strings.HasSuffix(url, "&version=v1") {
			t.Errorf("web-%d fetches %s", i+1, url)
		}
	}
}

// A host that has to fetch the release of a rollback gets the files that it has on the others, or
// none goes back.
func TestARollbackBringsTheSameAssets(t *testing.T) {
	const now, before = "20261122T000000Z-aaaaaaa", "20261121T000000Z-9999999"
	sum := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name  string
		has   string // the release on the hosts that have it, by the names of its files
		input []inputs.Asset
		fails string
	}{
		{name: "the same", has: "aa", input: []inputs.Asset{{Bucket: "models", Key: "a", Path: "m/a"}}},
		{
			name: "the same, proved in another way now", has: "aa aa",
			input: []inputs.Asset{{Bucket: "models", Key: "a", Path: "m/a", SHA256: sum}},
		},
		{name: "none then", input: []inputs.Asset{{Bucket: "models", Key: "a", Path: "m/a"}}},
		{
			name: "another one", has: "cc", input: []inputs.Asset{{Bucket: "models", Key: "a", Path: "m/a"}},
			fails: "resolve: ",
		},
		{
			name: "one of two", has: "aa cc", input: []inputs.Asset{{Bucket: "models", Key: "a", Path: "m/a"}},
			fails: "resolve: ",
		},
		{
			name: "one more", has: "aa", input: []inputs.Asset{
				{Bucket: "models", Key: "a", Path: "m/a"}, {Bucket: "models", Key: "b", Path: "m/b"},
			},
			fails: "resolve: ",
		},
		{name: "one, and none is asked for now", has: "aa", fails: "agree: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl := newFleet(t, 3)
			in := fl.inputs()
			in.Operation, in.Assets = inputs.Rollback, tt.input
			for i, f := range fl {
				f.lists = "release_0=" + now + " " + oldCommit + " 2\n"
				if i == 2 {
					continue
				}
				f.lists += "release_1=" + before + " " + oldCommit + " 1\n"
				if tt.has != "" {
					f.lists += "assets_1=" + tt.has + "\n"
				}
			}
			fl[0].store = &fakeStore{until: time.Now().Add(time.Hour), objects: map[string]s3.Object{
				"models/a": {ETag: "aa", MD5: "aa", Size: 3}, "models/b": {ETag: "bb", MD5: "bb", Size: 3},
			}}
			_, log, err := fl.deploy(t, in)
			if tt.fails == "" {
				if err != nil || fl.flags() != "8081 8081 8081" || len(assetCalls(fl[2])) != 1 || len(assetCalls(fl[0])) != 0 {
					t.Errorf("%v, flags %s, %v\n%s", err, fl.flags(), fl[2].calls, log)
				}
				return
			}
			want := tt.fails + "release " + before + " was made with other files from S3 than the input \"assets\" " +
				"finds now, as web-1 tells, and would get these on hosts that do not have it: web-3\n"
			if err == nil || !strings.Contains(err.Error(), want) || fl.flags() != "8080 8080 8080" ||
				!strings.Contains(err.Error(), "next: deploy commit aaaaaaa with the input \"ref\"") {
				t.Errorf("%v, flags %s; want %q", err, fl.flags(), want)
			}
		})
	}
}

func TestEveryPartOfASignedURLThatOpensItIsMasked(t *testing.T) {
	const signed = "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Security-Token=Fw%2BoG%3D&X-Amz-Signature=0123abcd&x-id=GetObject"
	if diff := cmp.Diff([]string{signed, "Fw%2BoG%3D", "Fw+oG=", "0123abcd"}, signatures(signed)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
