// The second opinion on the ledger: what it signs and proves is checked with the Go project's transparency log
// packages, which share no line with ours. The checkpoint's three lines and the .tlog-proof file are read by hand,
// from their specifications (c2sp.org/tlog-checkpoint, c2sp.org/tlog-proof), strictly: bytes that mean the same but
// are written another way are refused, so that every bit of a file is held by something.
package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Every entry's leaf has this many bytes: a tag of 17 and a commitment of 32.
const leafBytes = 49

// The files of a sample, by their names in its folder.
const (
	fileKey           = "vkey"
	fileCheckpoint    = "checkpoint"
	fileOldCheckpoint = "checkpoint.old"
	fileConsistency   = "consistency"
	fileProof         = "proof.tlog-proof"
	fileLeaf          = "leaf"
)

// A sample is what the ledger wrote for us to judge: file name to bytes.
type sample map[string][]byte

// What a sample proves, once it is verified.
type proven struct {
	origin       string
	size, old    int64
	index, proof int64 // which leaf, and in a tree of which size
}

func readSample(folder string) (sample, error) {
	s := sample{}
	for _, name := range []string{fileKey, fileCheckpoint, fileOldCheckpoint, fileConsistency, fileProof, fileLeaf} {
		bytes, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		s[name] = bytes
	}
	return s, nil
}

// verify says what the sample proves, or why it proves nothing.
func (s sample) verify() (proven, error) {
	key, err := parseKey(s[fileKey])
	if err != nil {
		return proven{}, fmt.Errorf("%s: %w", fileKey, err)
	}
	now, err := openCheckpoint(s[fileCheckpoint], key)
	if err != nil {
		return proven{}, fmt.Errorf("%s: %w", fileCheckpoint, err)
	}
	before, err := openCheckpoint(s[fileOldCheckpoint], key)
	if err != nil {
		return proven{}, fmt.Errorf("%s: %w", fileOldCheckpoint, err)
	}
	if err := checkConsistency(s[fileConsistency], before, now); err != nil {
		return proven{}, fmt.Errorf("%s: %w", fileConsistency, err)
	}
	index, size, err := checkInclusion(s[fileProof], s[fileLeaf], key)
	if err != nil {
		return proven{}, fmt.Errorf("%s: %w", fileProof, err)
	}
	return proven{now.origin, now.size, before.size, index, size}, nil
}

// parseKey reads one verifier key, alone on its line, in the one way in which it is written.
func parseKey(file []byte) (note.Verifier, error) {
	line, rest, ok := strings.Cut(string(file), "\n")
	if !ok || rest != "" {
		return nil, errors.New("is not one line")
	}
	fields := strings.SplitN(line, "+", 3)
	if len(fields) != 3 || fields[1] != strings.ToLower(fields[1]) {
		return nil, errors.New("is not name+hash+key, with the hash in small letters")
	}
	if _, err := decode(fields[2]); err != nil {
		return nil, err
	}
	return note.NewVerifier(line)
}

type checkpoint struct {
	origin string
	size   int64
	root   tlog.Hash
}

// openCheckpoint verifies the log's signature, then reads the text under it.
func openCheckpoint(file []byte, key note.Verifier) (checkpoint, error) {
	opened, err := note.Open(file, note.VerifierList(key))
	if err != nil {
		return checkpoint{}, err
	}
	for _, signature := range opened.Sigs {
		if _, err := decode(signature.Base64); err != nil {
			return checkpoint{}, fmt.Errorf("signature: %w", err)
		}
	}
	return parseCheckpoint(opened.Text, key.Name())
}

// parseCheckpoint reads the three lines: origin, size, root. Ours has no extension lines.
func parseCheckpoint(text, origin string) (checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return checkpoint{}, fmt.Errorf("%d lines where three are due", len(lines)-1)
	}
	if lines[0] != origin {
		return checkpoint{}, fmt.Errorf("is of %q, not of the key's log %q", lines[0], origin)
	}
	size, err := parseNumber(lines[1])
	if err != nil {
		return checkpoint{}, err
	}
	root, err := parseHash(lines[2])
	return checkpoint{lines[0], size, root}, err
}

func checkConsistency(file []byte, before, now checkpoint) error {
	hashes, err := parseHashes(string(file))
	if err != nil {
		return err
	}
	return tlog.CheckTree(hashes, now.size, now.root, before.size, before.root)
}

// checkInclusion reads a .tlog-proof and checks it on the leaf; it returns the leaf's index and the tree's size.
func checkInclusion(file, leaf []byte, key note.Verifier) (index, size int64, err error) {
	if len(leaf) != leafBytes {
		return 0, 0, fmt.Errorf("a leaf of %d bytes", len(leaf))
	}
	index, hashes, signed, err := parseProof(string(file))
	if err != nil {
		return 0, 0, err
	}
	tree, err := openCheckpoint([]byte(signed), key)
	if err != nil {
		return 0, 0, err
	}
	return index, tree.size, tlog.CheckRecord(hashes, tree.size, tree.root, index, tlog.RecordHash(leaf))
}

// parseProof splits a .tlog-proof into the leaf's index, the proof's hashes and the signed checkpoint. The optional
// extra line is not authenticated by the format: only its form is looked at.
func parseProof(file string) (index int64, hashes []tlog.Hash, signed string, err error) {
	head, signed, ok := strings.Cut(file, "\n\n")
	if !ok {
		return 0, nil, "", errors.New("no blank line before the checkpoint")
	}
	version, rest, _ := strings.Cut(head+"\n", "\n")
	if version != "c2sp.org/tlog-proof@v1" {
		return 0, nil, "", fmt.Errorf("is of version %q", version)
	}
	word, value, rest := parseLine(rest)
	if word == "extra" {
		if _, err := decode(value); err != nil {
			return 0, nil, "", fmt.Errorf("extra: %w", err)
		}
		word, value, rest = parseLine(rest)
	}
	if word != "index" {
		return 0, nil, "", errors.New("no index line")
	}
	if index, err = parseNumber(value); err != nil {
		return 0, nil, "", err
	}
	hashes, err = parseHashes(rest)
	return index, hashes, signed, err
}

// parseLine reads one line of a word and its value, and returns the rest.
func parseLine(text string) (word, value, rest string) {
	line, rest, _ := strings.Cut(text, "\n")
	word, value, _ = strings.Cut(line, " ")
	return word, value, rest
}

// parseHashes reads one hash a line.
func parseHashes(text string) ([]tlog.Hash, error) {
	hashes := []tlog.Hash{}
	for text != "" {
		line, rest, ok := strings.Cut(text, "\n")
		if !ok {
			return nil, errors.New("the last line does not end")
		}
		hash, err := parseHash(line)
		if err != nil {
			return nil, err
		}
		hashes, text = append(hashes, hash), rest
	}
	return hashes, nil
}

func parseHash(text string) (hash tlog.Hash, err error) {
	bytes, err := decode(text)
	if err != nil {
		return hash, err
	}
	if len(bytes) != tlog.HashSize {
		return hash, fmt.Errorf("a hash of %d bytes", len(bytes))
	}
	copy(hash[:], bytes)
	return hash, nil
}

// parseNumber takes a decimal without sign or leading zeros.
func parseNumber(text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, err
	}
	if number < 0 || strconv.FormatInt(number, 10) != text {
		return 0, fmt.Errorf("%q is not written as a size or an index is", text)
	}
	return number, nil
}

// decode takes standard base64 in its one canonical form: the decoder alone would skip line ends and stray bits.
func decode(text string) ([]byte, error) {
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if base64.StdEncoding.EncodeToString(bytes) != text {
		return nil, errors.New("base64 that is not written canonically")
	}
	return bytes, nil
}
