// The second opinion on the ledger: what it signs and proves is checked with the Go project's transparency log
// packages, which share no line with ours. The checkpoint's three lines and the .tlog-proof file are read by hand,
// from their specifications (c2sp.org/tlog-checkpoint, c2sp.org/tlog-proof), strictly: bytes that mean the same but
// are written another way are refused, so that every bit of a file is held by something.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
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

// A leaf is this tag and HMAC-SHA256(salt, type ‖ controller ‖ number in its sequence ‖ SHA-256(entry)); the proof's
// extra line opens it with the salt and the first three, of 1, 16 and 8 bytes.
const (
	leafTag      = "quittance/leaf/v1"
	saltBytes    = 32
	openingBytes = saltBytes + 1 + 16 + 8
)

// The files of a sample, by their names in its folder.
const (
	fileKey           = "vkey"
	fileCheckpoint    = "checkpoint"
	fileOldCheckpoint = "checkpoint.old"
	fileConsistency   = "consistency"
	fileProof         = "proof.tlog-proof"
	fileLeaf          = "leaf"
	fileEntry         = "entry"
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
	for _, name := range []string{fileKey, fileCheckpoint, fileOldCheckpoint, fileConsistency, fileProof, fileLeaf, fileEntry} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		s[name] = content
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
	p, err := parseProof(string(s[fileProof]))
	if err != nil {
		return proven{}, fmt.Errorf("%s: %w", fileProof, err)
	}
	if err := p.opens(s[fileLeaf], s[fileEntry]); err != nil {
		return proven{}, fmt.Errorf("%s: %w", fileLeaf, err)
	}
	size, err := p.checkInclusion(s[fileLeaf], key)
	if err != nil {
		return proven{}, fmt.Errorf("%s: %w", fileProof, err)
	}
	return proven{now.origin, now.size, before.size, p.index, size}, nil
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

// A proof is what a .tlog-proof file holds.
type proof struct {
	extra  []byte
	index  int64
	hashes []tlog.Hash
	signed string // the checkpoint
}

// parseProof splits a .tlog-proof. The format does not authenticate the extra line; opens does.
func parseProof(file string) (p proof, err error) {
	head, signed, ok := strings.Cut(file, "\n\n")
	if !ok {
		return p, errors.New("no blank line before the checkpoint")
	}
	p.signed = signed
	version, rest, _ := strings.Cut(head+"\n", "\n")
	if version != "c2sp.org/tlog-proof@v1" {
		return p, fmt.Errorf("is of version %q", version)
	}
	extra, rest, err := parseLine(rest, "extra")
	if err != nil {
		return p, err
	}
	if p.extra, err = decode(extra); err != nil {
		return p, err
	}
	index, rest, err := parseLine(rest, "index")
	if err != nil {
		return p, err
	}
	if p.index, err = parseNumber(index); err != nil {
		return p, err
	}
	p.hashes, err = parseHashes(rest)
	return p, err
}

// opens says whether the extra line and the entry lead to the leaf.
func (p proof) opens(leaf, entry []byte) error {
	if len(p.extra) != openingBytes {
		return fmt.Errorf("an opening of %d bytes", len(p.extra))
	}
	digest := sha256.Sum256(entry)
	commitment := hmac.New(sha256.New, p.extra[:saltBytes])
	commitment.Write(p.extra[saltBytes:])
	commitment.Write(digest[:])
	if !bytes.Equal(leaf, commitment.Sum([]byte(leafTag))) {
		return errors.New("is not what the entry and the proof's extra line commit to")
	}
	return nil
}

// checkInclusion says in a tree of which size the leaf is.
func (p proof) checkInclusion(leaf []byte, key note.Verifier) (int64, error) {
	tree, err := openCheckpoint([]byte(p.signed), key)
	if err != nil {
		return 0, err
	}
	return tree.size, tlog.CheckRecord(p.hashes, tree.size, tree.root, p.index, tlog.RecordHash(leaf))
}

// parseLine reads one line of a word and its value, and returns the value and the rest.
func parseLine(text, word string) (value, rest string, err error) {
	line, rest, _ := strings.Cut(text, "\n")
	found, value, _ := strings.Cut(line, " ")
	if found != word {
		return "", "", fmt.Errorf("%q where %q is due", found, word)
	}
	return value, rest, nil
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
	decoded, err := decode(text)
	if err != nil {
		return hash, err
	}
	if len(decoded) != tlog.HashSize {
		return hash, fmt.Errorf("a hash of %d bytes", len(decoded))
	}
	copy(hash[:], decoded)
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
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	if base64.StdEncoding.EncodeToString(decoded) != text {
		return nil, errors.New("base64 that is not written canonically")
	}
	return decoded, nil
}
