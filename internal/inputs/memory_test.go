package inputs

import "testing"

func TestSwapSizes(t *testing.T) {
	for value, want := range map[string]int{"": 0, "2G": 2048, "512M": 512, "1gb": 1024, "64m": 64, "64G": 65536} {
		p := &parser{in: &Inputs{}}
		if err := setSwap(p, value); err != nil || p.in.SwapMB != want {
			t.Errorf("%q is %d MB, %v; want %d", value, p.in.SwapMB, err, want)
		}
	}
}
