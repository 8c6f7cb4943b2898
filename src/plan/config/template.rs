//! The cluster.yaml that `cluster init` writes: the name, and every default as a comment.

/// The text of a new cluster.yaml. `name` is a valid cluster name; the rest are the defaults, so
/// that the text parses to [`super::Config::defaults`] and each comment, taken in, changes nothing.
pub fn template(name: &str) -> String {
    format!("{HEAD}name: {name}\n{REST}")
}

const HEAD: &str = "\
## The whole cluster: `cluster plan` shows what it means, `cluster up` makes it so.
## A line with a single # is a default; take the # away to change it. Only the name has none.

version: 1
";

const REST: &str = "
## Left out: AWS_REGION, then the profile's region.
# region: us-east-1

## Who may reach what. `auto` is the address you call from, and never anything wider;
## a list of CIDRs replaces it: [203.0.113.0/24]. Everyone is 0.0.0.0/0, if written out.
# access:
#   via: auto                    # addresses dialled: public, private, or auto
#   addressUrl: https://checkip.amazonaws.com
#   ssh: auto                    # port 22
#   api: auto                    # port 6443
#   services: auto               # the workers' servicePorts and node ports (30000-32767)
#   servicePorts: [80, 443]

## Three private ranges that share no address.
# network:
#   cidr: 10.20.0.0/16           # the VPC's, /16 to /24
#   zones: auto                  # or [us-east-1a, us-east-1b]
#   podCidr: 10.244.0.0/16       # a /24 for each machine
#   serviceCidr: 10.96.0.0/16

## The newest image of this owner and name, or one image: id: ami-0123456789abcdef0.
# image:
#   owner: \"136693071363\"        # Debian
#   name: debian-12-amd64-*
#   architecture: x86_64         # or arm64
#   user: admin                  # whom the image lets log in

# masters:
#   count: 1
#   type: t3.small
#   zones: auto
#   volume: {sizeGiB: 20}

## Groups of machines for Pods; [] is none.
# workers:
#   - name: general
#     count: 1
#     type: t3.small
#     zones: auto
#     labels: {}                 # {example.com/tier: web}
#     taints: []                 # [{key: example.com/dedicated, value: db, effect: NoSchedule}]
#     volume: {sizeGiB: 20}

## An existing instance profile for every machine.
# iamInstanceProfile: NAME

## More names for the API's certificate, such as [api.example.com].
# extraApiNames: []
";
