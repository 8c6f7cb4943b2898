package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

type facts struct {
	objects map[string]*listed
	fills   map[string]string // "OBJECT FIELD" -> value, and nothing once it is used
}

type listed struct {
	Required   []string
	MapType    string `json:"x-kubernetes-map-type"`
	Properties map[string]*property
	Unions     json.RawMessage                         `json:"x-kubernetes-unions"`
	Kinds      []struct{ Group, Kind, Version string } `json:"x-kubernetes-group-version-kind"`
	enums      map[string][]string
}

type property struct {
	Type                        string
	Default                     json.RawMessage
	ListType                    string   `json:"x-kubernetes-list-type"`
	Keys                        []string `json:"x-kubernetes-list-map-keys"`
	MapType                     string   `json:"x-kubernetes-map-type"`
	Items, AdditionalProperties *property
	Ref                         string `json:"$ref"`
	AllOf                       []*property
	PatchStrategy               string `json:"x-kubernetes-patch-strategy"`
	PatchKey                    string `json:"x-kubernetes-patch-merge-key"`
	Format                      string
}

// readDefaults reads the values that no document lists.
func (all *facts) readDefaults(path string) {
	all.fills = map[string]string{}
	text, err := os.ReadFile(path)
	check(err)
	for _, line := range strings.Split(string(text), "\n") {
		if words := strings.SplitN(line, " ", 3); len(words) == 3 && words[0] != "#" {
			all.fills[words[0]+" "+words[1]] = words[2]
		}
	}
}

func readOpenAPI(folder string) *facts {
	all := &facts{objects: map[string]*listed{}}
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	check(err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		check(err)
		var document struct {
			Components struct{ Schemas map[string]*listed }
		}
		check(json.Unmarshal(text, &document))
		for name, schema := range document.Components.Schemas {
			all.objects[name] = schema
		}
	}
	return all
}

// readEnums finds the enumerations, which the documents leave out, in the generated Go source.
func (all *facts) readEnums(path string) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	check(err)
	imports := map[string]string{}
	for _, i := range file.Imports {
		if i.Name != nil {
			imports[i.Name.Name], _ = strconv.Unquote(i.Path.Value)
		}
	}
	definitions := map[string]string{}
	enums := map[string]map[string][]string{}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if f.Name.Name == "GetOpenAPIDefinitions" {
			ast.Inspect(f, func(n ast.Node) bool { noteDefinition(n, imports, definitions); return true })
		} else {
			found := map[string][]string{}
			ast.Inspect(f, func(n ast.Node) bool { noteEnum(n, found); return true })
			enums[f.Name.Name] = found
		}
	}
	for function, definition := range definitions {
		if o := all.objects[definition]; o != nil {
			o.enums = enums[function]
		}
	}
}

// noteDefinition reads `v1.Pod{}.OpenAPIModelName(): schema_…(ref)`.
func noteDefinition(n ast.Node, imports, definitions map[string]string) {
	pair, ok := n.(*ast.KeyValueExpr)
	if !ok {
		return
	}
	call, ok := pair.Value.(*ast.CallExpr)
	if !ok {
		return
	}
	function, ok := call.Fun.(*ast.Ident)
	if !ok {
		return
	}
	var text string
	ast.Inspect(pair.Key, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && imports[x.Name] != "" {
				text = imports[x.Name] + "." + s.Sel.Name
			}
		}
		return true
	})
	if text == "" {
		return
	}
	parts := strings.Split(text, "/")
	domain := strings.Split(parts[0], ".")
	slices.Reverse(domain)
	definitions[function.Name] = strings.Join(domain, ".") + "." + strings.Join(parts[1:], ".")
}

// noteEnum reads `"field": {… Enum: []interface{}{"A", "B"} …}`.
func noteEnum(n ast.Node, found map[string][]string) {
	pair, ok := n.(*ast.KeyValueExpr)
	if !ok {
		return
	}
	name, ok := pair.Key.(*ast.BasicLit)
	if !ok {
		return
	}
	field, err := strconv.Unquote(name.Value)
	check(err)
	ast.Inspect(pair.Value, func(n ast.Node) bool {
		inner, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		if key, ok := inner.Key.(*ast.Ident); ok && key.Name == "Enum" {
			for _, e := range inner.Value.(*ast.CompositeLit).Elts {
				value, err := strconv.Unquote(e.(*ast.BasicLit).Value)
				check(err)
				found[field] = append(found[field], value)
			}
		}
		return true
	})
}

func (l *listed) kindsOf() []string {
	var out []string
	for _, k := range l.Kinds {
		if len(l.Kinds) > 4 {
			return nil // the options and Status, which every group lists
		}
		out = append(out, fmt.Sprintf("%s/%s/%s", k.Group, k.Version, k.Kind))
	}
	return out
}

// line is `NAME NUMBER TYPE WORDS…`; what the words mean is told in src/api/schema/table.rs.
func (f *field) line(o *object, all *facts, known *listed) string {
	kind := f.kind
	if f.pointer {
		kind = "*" + kind
	}
	words := []string{f.name, f.number, kind}
	add := func(condition bool, word string) {
		if condition {
			words = append(words, word)
		}
	}
	add(f.omit != "", f.omit)
	if known != nil {
		p := known.Properties[f.name]
		if p == nil {
			fail(fmt.Sprintf("%s.%s is not in the OpenAPI documents", o.definition, f.name))
		}
		add(slices.Contains(known.Required, f.name), "required")
		add(p.ListType != "", "list="+strings.Join(append([]string{p.ListType}, p.Keys...), ","))
		add(p.MapType != "", "map="+p.MapType)
		f.defaults(p, add)
		if p.PatchStrategy+":"+p.PatchKey != f.patch && p.PatchStrategy != f.patch {
			fail(fmt.Sprintf("%s.%s: two patch strategies", o.definition, f.name))
		}
		add(len(known.enums[f.name]) > 0, "enum="+strings.ReplaceAll(strings.Join(known.enums[f.name], ","), " ", "_"))
	}
	key := short(o.definition) + " " + f.name
	add(all.fills[key] != "", "fill="+all.fills[key])
	delete(all.fills, key)
	add(f.patch != "", "patch="+f.patch)
	add(f.embedded != "", "in="+f.embedded)
	add(f.goName != "", "go="+f.goName)
	return "  " + strings.Join(words, " ")
}

// defaults tells a default that is applied from the marker that OpenAPI gives to a value which
// Go cannot leave out. The rule for the marker is here and in src/api/openapi.
func (f *field) defaults(p *property, add func(bool, string)) {
	marker := ""
	if !f.pointer {
		switch {
		case strings.HasPrefix(f.kind, "@"):
			marker = "{}"
		case f.omit == "keep":
			marker = map[string]string{"string": `""`, "int32": "0", "int64": "0", "bool": "false", "float64": "0"}[f.kind]
		}
	}
	got := string(p.Default)
	if got == marker {
		return
	}
	if got == "" {
		add(true, "unmarked")
		return
	}
	add(true, "default="+got)
}
