package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// samplesVariable names the folder in which the ledger's own tests leave samples, one folder each, for this run to
// judge.
const samplesVariable = "QUITTANCE_LOG_SAMPLES"

func TestOwnSample(t *testing.T) {
	s := ownSample(t)
	p, err := s.verify()
	if err != nil {
		t.Fatal(err)
	}
	if p != (proven{"log.example/second-opinion", 70, 37, 11, 70}) {
		t.Fatalf("proves something else: %+v", p)
	}
	refusesEveryChangedBit(t, s)
}

func TestLedgersSamples(t *testing.T) {
	folder := os.Getenv(samplesVariable)
	if folder == "" {
		t.Skip(samplesVariable + " is not set: ./tests/run sets it")
	}
	samples, err := filepath.Glob(filepath.Join(folder, "*"))
	must(t, err)
	if len(samples) == 0 {
		t.Fatalf("nobody left a sample in %s", folder)
	}
	for _, folder := range samples {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			s, err := readSample(folder)
			must(t, err)
			p, err := s.verify()
			must(t, err)
			t.Logf("%+v", p)
			refusesEveryChangedBit(t, s)
		})
	}
}

// A sample that holds for the wrong reason would hold with another log's key, too.
func TestAnotherLogsKeyIsRefused(t *testing.T) {
	s, other := ownSample(t), ownSample(t)
	s[fileKey] = other[fileKey]
	if _, err := s.verify(); err == nil {
		t.Fatal("accepted")
	}
}

// Each of these reads well and is signed, but is not what a checkpoint of ours looks like.
func TestOddCheckpointsAreRefused(t *testing.T) {
	signer, verifier := newKey(t)
	hash := tlog.RecordHash(nil).String()
	for _, text := range []string{
		"log.example/second-opinion\n07\n" + hash + "\n",
		"log.example/second-opinion\n-7\n" + hash + "\n",
		"log.example/second-opinion\n7\n" + hash + "\nextension\n",
		"log.example/second-opinion\n7\n" + hash[:40] + "\n",
		"log.example/another\n7\n" + hash + "\n",
	} {
		if _, err := openCheckpoint(sign(t, text, signer), verifier); err == nil {
			t.Errorf("accepted: %q", text)
		}
	}
}

// refusesEveryChangedBit changes each bit of each file in turn.
func refusesEveryChangedBit(t *testing.T, s sample) {
	t.Helper()
	for name, original := range s {
		for bit := 0; bit < len(original)*8; bit++ {
			changed := append([]byte{}, original...)
			changed[bit/8] ^= 1 << (bit % 8)
			s[name] = changed
			if _, err := s.verify(); err == nil {
				t.Errorf("accepted: %s with bit %d of byte %d changed", name, bit%8, bit/8)
			}
		}
		s[name] = original
	}
}

// ownSample makes a log of seventy leaves and a sample of it, with Go's packages alone.
func ownSample(t *testing.T) sample {
	t.Helper()
	signer, _ := newKey(t)
	opening, entry := bytes.Repeat([]byte{7}, openingBytes), []byte("what happened")
	leaf := commit(opening, entry)
	var hashes tree
	for i := int64(0); i < 70; i++ {
		content := leaf
		if i != 11 {
			content = bytes.Repeat([]byte{byte(i)}, len(leaf))
		}
		stored, err := tlog.StoredHashes(i, content, hashes)
		must(t, err)
		hashes = append(hashes, stored...)
	}
	inclusion, err := tlog.ProveRecord(70, 11, hashes)
	must(t, err)
	consistency, err := tlog.ProveTree(70, 37, hashes)
	must(t, err)
	now := hashes.checkpoint(t, 70, signer)
	extra := base64.StdEncoding.EncodeToString(opening)
	return sample{
		fileKey:           []byte(keys[signer.KeyHash()] + "\n"),
		fileCheckpoint:    now,
		fileOldCheckpoint: hashes.checkpoint(t, 37, signer),
		fileConsistency:   []byte(lines(consistency)),
		fileProof:         []byte("c2sp.org/tlog-proof@v1\nextra " + extra + "\nindex 11\n" + lines(inclusion) + "\n" + string(now)),
		fileLeaf:          leaf,
		fileEntry:         entry,
	}
}

func commit(opening, entry []byte) []byte {
	digest := sha256.Sum256(entry)
	commitment := hmac.New(sha256.New, opening[:saltBytes])
	commitment.Write(append(append([]byte{}, opening[saltBytes:]...), digest[:]...))
	return commitment.Sum([]byte(leafTag))
}

// keys remembers each signer's verifier key, which a signer does not tell.
var keys = map[uint32]string{}

func newKey(t *testing.T) (note.Signer, note.Verifier) {
	t.Helper()
	secret, public, err := note.GenerateKey(nil, "log.example/second-opinion")
	must(t, err)
	signer, err := note.NewSigner(secret)
	must(t, err)
	verifier, err := note.NewVerifier(public)
	must(t, err)
	keys[signer.KeyHash()] = public
	return signer, verifier
}

func (hashes tree) checkpoint(t *testing.T, size int64, signer note.Signer) []byte {
	t.Helper()
	root, err := tlog.TreeHash(size, hashes)
	must(t, err)
	return sign(t, fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), size, root), signer)
}

func sign(t *testing.T, text string, signer note.Signer) []byte {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	must(t, err)
	return signed
}

func lines(hashes []tlog.Hash) string {
	var out strings.Builder
	for _, hash := range hashes {
		out.WriteString(hash.String() + "\n")
	}
	return out.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
