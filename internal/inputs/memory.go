package inputs

import (
	"fmt"
	"regexp"
	"strconv"
)

// swapSize is a number of megabytes or gigabytes, as swap files have them.
var swapSize = regexp.MustCompile(`^([1-9][0-9]{0,5})([MmGg])[Bb]?$`)

const (
	minSwapMB = 64
	maxSwapMB = 64 << 10
)

func setSwap(p *parser, value string) error {
	if value == "" {
		return nil
	}
	m := swapSize.FindStringSubmatch(value)
	if m == nil {
		return fmt.Errorf("must be a size such as \"2G\" or \"512M\" %s", got(value))
	}
	mb, err := strconv.Atoi(m[1])
	if m[2] == "G" || m[2] == "g" {
		mb <<= 10
	}
	if err != nil || mb < minSwapMB || mb > maxSwapMB {
		return fmt.Errorf("must be from %dM to %dG %s", minSwapMB, maxSwapMB>>10, got(value))
	}
	p.in.SwapMB = mb
	return nil
}
