package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	apps "k8s.io/api/apps/v1"
	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	certificates "k8s.io/api/certificates/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	events "k8s.io/api/events/v1"
	flowcontrol "k8s.io/api/flowcontrol/v1"
	networking "k8s.io/api/networking/v1"
	node "k8s.io/api/node/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	resource "k8s.io/api/resource/v1"
	scheduling "k8s.io/api/scheduling/v1"
	storage "k8s.io/api/storage/v1"
	storagemigration "k8s.io/api/storagemigration/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

var groups = []func(*runtime.Scheme) error{
	admissionregistration.AddToScheme, apps.AddToScheme, authentication.AddToScheme,
	authorization.AddToScheme, autoscalingv1.AddToScheme, autoscalingv2.AddToScheme,
	batch.AddToScheme, certificates.AddToScheme, coordination.AddToScheme, core.AddToScheme,
	discovery.AddToScheme, events.AddToScheme, flowcontrol.AddToScheme, networking.AddToScheme,
	node.AddToScheme, policy.AddToScheme, rbac.AddToScheme, resource.AddToScheme,
	scheduling.AddToScheme, storage.AddToScheme, storagemigration.AddToScheme,
	apiextensions.AddToScheme, apiregistration.AddToScheme,
}

// Types that the tables hold as one value: they have their own JSON.
var leaves = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":                     "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":                "microtime",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":                 "duration",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":                 "any",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":                 "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":               "intorstring",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":                  "any",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON": "any",
}

const schemaProps = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps"

type object struct {
	goType     reflect.Type
	definition string
	fields     []field
}

type field struct {
	name, number, kind, goName, embedded string
	pointer, inList                      bool
	omit                                 string
	patch                                string
	zero                                 bool // Go's value is a struct held in place
}

func reflectAll() []*object {
	scheme := runtime.NewScheme()
	for _, add := range groups {
		check(add(scheme))
	}
	found := map[reflect.Type]*object{}
	roots := []reflect.Type{
		reflect.TypeFor[meta.Status](), reflect.TypeFor[meta.DeleteOptions](), reflect.TypeFor[meta.CreateOptions](),
		reflect.TypeFor[meta.UpdateOptions](), reflect.TypeFor[meta.PatchOptions](), reflect.TypeFor[meta.GetOptions](),
		reflect.TypeFor[meta.ListOptions](), reflect.TypeFor[meta.WatchEvent](), reflect.TypeFor[meta.APIVersions](),
		reflect.TypeFor[meta.APIGroupList](), reflect.TypeFor[meta.APIGroup](), reflect.TypeFor[meta.APIResourceList](),
		reflect.TypeFor[meta.PartialObjectMetadata](), reflect.TypeFor[meta.PartialObjectMetadataList](),
	}
	for gvk, t := range scheme.AllKnownTypes() {
		if gvk.Version != runtime.APIVersionInternal && t.PkgPath() != "k8s.io/apimachinery/pkg/apis/meta/v1" {
			roots = append(roots, t)
		}
	}
	for _, root := range roots {
		visit(root, found)
	}
	var all []*object
	for _, o := range found {
		all = append(all, o)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].definition < all[j].definition })
	return all
}

func full(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

func visit(t reflect.Type, found map[reflect.Type]*object) {
	if found[t] != nil {
		return
	}
	o := &object{goType: t, definition: definition(t)}
	found[t] = o
	o.fields = fieldsOf(t, "", found)
}

// definition is the name of the type's OpenAPI definition: the package's path, its domain reversed.
func definition(t reflect.Type) string {
	if named, ok := reflect.New(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return named.OpenAPIModelName()
	}
	parts := strings.Split(full(t), "/")
	domain := strings.Split(parts[0], ".")
	return domain[1] + "." + domain[0] + "." + strings.Join(parts[1:], ".")
}

func fieldsOf(t reflect.Type, within string, found map[reflect.Type]*object) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag := strings.Split(f.Tag.Get("json"), ",")
		number := ""
		if p := strings.Split(f.Tag.Get("protobuf"), ","); len(p) > 1 {
			number = p[1]
		}
		if f.Anonymous && tag[0] == "" {
			out = append(out, inlined(f, number, within, found)...)
			continue
		}
		if tag[0] == "-" || !f.IsExported() {
			continue
		}
		one := describe(f, tag, found)
		one.number = place(within, number)
		out = append(out, one)
	}
	return out
}

func inlined(f reflect.StructField, number, within string, found map[reflect.Type]*object) []field {
	if strings.Count(within, "/") > 0 {
		fail(fmt.Sprintf("%s is inlined three times over: protobuf's place of a field has two levels", f.Name))
	}
	fields := fieldsOf(f.Type, place(within, number), found)
	for i := range fields {
		if f.Name != "TypeMeta" {
			fields[i].embedded = strings.TrimSuffix(f.Name+"."+fields[i].embedded, ".")
		}
	}
	return fields
}

func place(within, number string) string {
	switch {
	case number == "" || within == "-":
		return "-"
	case within == "":
		return number
	default:
		return within + "/" + number
	}
}

func describe(f reflect.StructField, tag []string, found map[reflect.Type]*object) field {
	one := field{name: tag[0], omit: "keep"}
	if one.name == "" {
		one.name = f.Name
	}
	for _, option := range tag[1:] {
		switch option {
		case "omitzero":
			one.omit = "zero"
		case "omitempty":
			if one.omit == "keep" {
				one.omit = ""
			}
		}
	}
	t := f.Type
	if t.Kind() == reflect.Pointer {
		one.pointer, t = true, t.Elem()
	}
	one.kind = typeOf(t, found)
	if plain := goNameOf(one.kind); plain != t.String() {
		one.goName = t.String()
	}
	if strategy := f.Tag.Get("patchStrategy"); strategy != "" {
		one.patch = strategy
		if key := f.Tag.Get("patchMergeKey"); key != "" {
			one.patch += ":" + key
		}
	}
	return one
}

func typeOf(t reflect.Type, found map[reflect.Type]*object) string {
	if leaf, ok := leaves[full(t)]; ok {
		return leaf
	}
	if strings.HasPrefix(full(t), schemaProps+"Or") {
		visit(reflect.TypeFor[apiextensions.JSONSchemaProps](), found)
		return "or" + strings.ToLower(strings.TrimPrefix(full(t), schemaProps+"Or")) + "@" + short(definition(reflect.TypeFor[apiextensions.JSONSchemaProps]()))
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int32, reflect.Int64, reflect.Float64, reflect.String:
		return t.Kind().String()
	case reflect.Interface:
		return "any"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + typeOf(t.Elem(), found)
	case reflect.Map:
		return "map:" + typeOf(t.Elem(), found)
	case reflect.Struct:
		visit(t, found)
		return "@" + short(definition(t))
	}
	fail(fmt.Sprintf("no word for the type %v", t))
	return ""
}

// goNameOf is the Go type that a decode error names where the table does not say otherwise.
func goNameOf(kind string) string {
	switch {
	case strings.HasPrefix(kind, "[]"):
		return "[]" + goNameOf(kind[2:])
	case strings.HasPrefix(kind, "map:"):
		return "map[string]" + goNameOf(kind[4:])
	case strings.HasPrefix(kind, "@"):
		parts := strings.Split(kind, ".")
		return strings.Join(parts[len(parts)-2:], ".")
	}
	switch kind {
	case "time":
		return "v1.Time"
	case "microtime":
		return "v1.MicroTime"
	case "duration":
		return "v1.Duration"
	case "quantity":
		return "resource.Quantity"
	case "intorstring":
		return "intstr.IntOrString"
	case "bytes":
		return "[]uint8"
	case "any":
		return "runtime.RawExtension"
	}
	return kind
}

func short(definition string) string {
	switch {
	case strings.HasPrefix(definition, "io.k8s.api."):
		return strings.TrimPrefix(definition, "io.k8s.api.")
	case strings.HasPrefix(definition, "io.k8s.apimachinery.pkg.apis."):
		return "~" + strings.TrimPrefix(definition, "io.k8s.apimachinery.pkg.apis.")
	}
	return "/" + definition
}

// file is the table's file: core_v1 for io.k8s.api.core.v1.Pod.
func (o *object) file() string {
	parts := strings.Split(o.definition, ".")
	return strings.Join(parts[len(parts)-3:len(parts)-1], "_")
}

func (o *object) table(facts *facts) string {
	known := facts.objects[o.definition]
	head := "object " + short(o.definition)
	if known == nil {
		head += " unlisted"
	} else {
		if known.MapType == "atomic" {
			head += " atomic"
		}
		if len(known.Unions) > 0 {
			var compact bytes.Buffer
			check(json.Compact(&compact, known.Unions))
			head += " unions=" + compact.String()
		}
		for _, gvk := range known.kindsOf() {
			head += " kind=" + gvk
		}
	}
	lines := []string{head}
	for _, f := range o.fields {
		lines = append(lines, f.line(o, facts, known))
	}
	return strings.Join(lines, "\n") + "\n"
}
