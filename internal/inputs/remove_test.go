package inputs

import "testing"

func TestARemovalIsConfirmedByTheName(t *testing.T) {
	key, _ := newKey(t, "")
	for _, tt := range []struct {
		operation, confirm, shared, want string
		confirmed                        bool
	}{
		{operation: "remove"},
		{operation: "remove", confirm: "shop", confirmed: true, shared: "true"},
		{
			operation: "remove", confirm: "yes",
			want: `input "confirm": must be the name of the application that is to be removed, "shop", or be left out for ` +
				`a list of what would go (got "yes")`,
		},
		{
			operation: "deploy", confirm: "shop", shared: "true",
			want: `input "confirm": is for operation "remove" only: leave it out, or set that operation` + "\n" +
				`input "remove-shared": is for operation "remove" only: leave it out, or set that operation`,
		},
		{operation: "remove", shared: "yes", want: `input "remove-shared": must be "true" or "false" (got "yes")`},
	} {
		in, err := Parse(with(runner(key), map[string]string{
			"operation": tt.operation, "app": "Shop", "confirm": tt.confirm, "remove-shared": tt.shared,
		}))
		switch {
		case tt.want != "" && (err == nil || err.Error() != tt.want):
			t.Errorf("%+v: %v", tt, err)
		case tt.want == "" && (err != nil || in.Confirmed != tt.confirmed || in.RemoveShared != (tt.shared == "true")):
			t.Errorf("%+v: %v, confirmed %t, shared %t", tt, err, in.Confirmed, in.RemoveShared)
		}
	}
}
