package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

const kindsHeader = `# Kinds of the stable groups, as upstream's discovery lists them. Written by scripts/schema.
#   kind GROUP/VERSION KIND PLURAL SINGULAR namespaced|cluster verbs=… [short=…] [categories=…]
#   sub  NAME GROUP/VERSION KIND verbs=…      a subresource of the kind above it, the kind of its body
# The group "core" is the one without a name. A kind without a "get" verb has no stored objects.
`

type served struct {
	Kind, Name, SingularName, Group, Version string
	Namespaced                               bool
	ShortNames, Categories, Verbs            []string
}

var stable = regexp.MustCompile(`__v[0-9]+\.json$`)

func kinds(folder string) string {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	check(err)
	sort.Strings(paths)
	out := kindsHeader
	for _, path := range paths {
		if !stable.MatchString(path) {
			continue
		}
		text, err := os.ReadFile(path)
		check(err)
		var list struct {
			GroupVersion string
			Resources    []served
		}
		check(json.Unmarshal(text, &list))
		sort.Slice(list.Resources, func(i, j int) bool { return list.Resources[i].Name < list.Resources[j].Name })
		for _, r := range list.Resources {
			out += r.line(list.GroupVersion)
		}
	}
	return out
}

func (r *served) line(listed string) string {
	if _, name, found := strings.Cut(r.Name, "/"); found {
		group := listed
		if r.Version != "" {
			group = strings.TrimPrefix(r.Group+"/"+r.Version, "/")
		}
		return fmt.Sprintf("sub %s %s %s verbs=%s\n", name, named(group), r.Kind, strings.Join(r.Verbs, ","))
	}
	scope := "cluster"
	if r.Namespaced {
		scope = "namespaced"
	}
	line := fmt.Sprintf("kind %s %s %s %s %s verbs=%s", named(listed), r.Kind, r.Name, r.SingularName, scope, strings.Join(r.Verbs, ","))
	if len(r.ShortNames) > 0 {
		line += " short=" + strings.Join(r.ShortNames, ",")
	}
	if len(r.Categories) > 0 {
		line += " categories=" + strings.Join(r.Categories, ",")
	}
	return line + "\n"
}

func named(groupVersion string) string {
	if !strings.Contains(groupVersion, "/") {
		return "core/" + groupVersion
	}
	return groupVersion
}
