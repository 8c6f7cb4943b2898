// generate writes the schema tables of src/api/schema/tables from published interfaces:
// the structs of k8s.io/api and its sisters (by reflection: names, order, types, tags) and the
// documents of a k8s.io/kubernetes module (OpenAPI v3: required, defaults, list and map types;
// the Go source of its OpenAPI: enumerations; its discovery documents: kinds).
//
//	cd scripts/schema && go run . KUBERNETES_MODULE ../../src/api/schema/tables
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// A file of tables longer than this is continued in the next one.
const linesPerFile = 900

func main() {
	if len(os.Args) != 3 {
		fail("usage: generate KUBERNETES_MODULE TABLES")
	}
	source, target := os.Args[1], os.Args[2]
	facts := readOpenAPI(filepath.Join(source, "api", "openapi-spec", "v3"))
	facts.readEnums(filepath.Join(source, "pkg", "generated", "openapi", "zz_generated.openapi.go"))
	facts.readDefaults("defaults.txt")
	objects := reflectAll()

	files := map[string][]string{}
	for _, o := range objects {
		files[o.file()] = append(files[o.file()], o.table(facts))
	}
	for unused := range facts.fills {
		fail("defaults.txt: there is no " + unused)
	}
	old, _ := filepath.Glob(filepath.Join(target, "*.txt"))
	for _, path := range old {
		check(os.Remove(path))
	}
	var names []string
	for name, tables := range files {
		for part, text := range split(tables) {
			file := name + ".txt"
			if part > 0 {
				file = fmt.Sprintf("%s.%d.txt", name, part+1)
			}
			names = append(names, file)
			check(os.WriteFile(filepath.Join(target, file), []byte(text), 0o644))
		}
	}
	check(os.WriteFile(filepath.Join(target, "kinds.txt"), []byte(kinds(filepath.Join(source, "api", "discovery"))), 0o644))
	sort.Strings(names)
	check(os.WriteFile(filepath.Join(target, "mod.rs"), []byte(index(names)), 0o644))
}

func split(tables []string) []string {
	var parts []string
	lines, text := 0, ""
	for _, table := range tables {
		n := strings.Count(table, "\n") + 1
		if lines > 0 && lines+n > linesPerFile {
			parts, lines, text = append(parts, text), 0, ""
		}
		if lines > 0 {
			text += "\n"
		}
		text += table
		lines += n
	}
	return append(parts, text)
}

// index is the Rust file that names the tables, so that adding a group touches nothing by hand.
func index(names []string) string {
	out := "//! The tables as text, by the names of their files. Written by scripts/schema.\n\n"
	out += "/// Every table of object types.\npub(crate) const TABLES: &[&str] = &[\n"
	for _, name := range names {
		out += fmt.Sprintf("    include_str!(%q),\n", name)
	}
	out += "];\n\n/// Kinds with their resources and subresources: see the file's first lines.\n"
	return out + "pub const KINDS: &str = include_str!(\"kinds.txt\");\n"
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
