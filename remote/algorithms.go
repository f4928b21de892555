package remote

import (
	"slices"

	"golang.org/x/crypto/ssh"
)

// A family is one type of host key with the signature algorithms it may use,
// none of them SHA-1.
type family struct {
	keyType string
	plain   []string
	cert    []string
}

// families are tried in this order; Ed25519 first, since it is what people pin.
var families = []family{
	{ssh.KeyAlgoED25519, []string{ssh.KeyAlgoED25519}, []string{ssh.CertAlgoED25519v01}},
	{ssh.KeyAlgoECDSA256, []string{ssh.KeyAlgoECDSA256}, []string{ssh.CertAlgoECDSA256v01}},
	{ssh.KeyAlgoECDSA384, []string{ssh.KeyAlgoECDSA384}, []string{ssh.CertAlgoECDSA384v01}},
	{ssh.KeyAlgoECDSA521, []string{ssh.KeyAlgoECDSA521}, []string{ssh.CertAlgoECDSA521v01}},
	{
		ssh.KeyAlgoRSA,
		[]string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
		[]string{ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01},
	},
}

// plainAlgorithms returns the algorithms of every family that keep accepts.
func plainAlgorithms(keep func(keyType string) bool) []string {
	var algos []string
	for _, f := range families {
		if keep(f.keyType) {
			algos = append(algos, f.plain...)
		}
	}
	return algos
}

// certAlgorithms returns the algorithms of host certificates: any, because the
// type of the authority's key says nothing of the type of the host's.
func certAlgorithms() []string {
	var algos []string
	for _, f := range families {
		algos = append(algos, f.cert...)
	}
	return algos
}

// withoutFamily drops the algorithms by which the host would offer key again.
func withoutFamily(algos []string, key ssh.PublicKey) []string {
	cert, isCert := key.(*ssh.Certificate)
	keyType := key.Type()
	if isCert {
		keyType = cert.Key.Type()
	}
	return slices.DeleteFunc(slices.Clone(algos), func(algo string) bool {
		for _, f := range families {
			if f.keyType == keyType {
				return (isCert && slices.Contains(f.cert, algo)) || (!isCert && slices.Contains(f.plain, algo))
			}
		}
		return false
	})
}

// modern is what both sides may negotiate: the library's list of sound
// algorithms (no CBC, no SHA-1 key exchange) less the one SHA-1 MAC on it.
func modern() ssh.Config {
	supported := ssh.SupportedAlgorithms()
	return ssh.Config{
		KeyExchanges: supported.KeyExchanges,
		Ciphers:      supported.Ciphers,
		MACs:         slices.DeleteFunc(supported.MACs, func(mac string) bool { return mac == ssh.HMACSHA1 }),
	}
}
