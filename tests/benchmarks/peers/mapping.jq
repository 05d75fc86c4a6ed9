# The document of ctsdns-traefik with nothing checked; {} for an event without a policy.

def slug: .domain | split(".") | join("-");
def service: "service-\(slug)-\(.scheme)-\(.port)";
def services(server): map({key: service, value: {loadBalancer: {servers: [server]}}}) | from_entries;

if .acl then
  [.acl.hosts | to_entries[] | select(.key | startswith("_"))
    | {address: .value} + (.key
      | capture("^_(?<entrypoint>.+)_(?<scheme>[^_]+)_(?<port>[0-9]+)\\._tcp\\.(?<domain>.+)$"))]
  | map(select(.scheme == "http" or .scheme == "https")) as $http
  | map(select(.scheme != "http" and .scheme != "https")) as $tcp
  | {
      http: {
        routers: ($http | map({key: "router-\(slug)", value: {
          rule: "Host(`\(.domain)`)", service: service, entryPoints: [.entrypoint]
        }}) | from_entries),
        services: ($http | services({url: "\(.scheme)://\(.address):\(.port)"}))
      },
      tcp: {
        routers: ($tcp | map({key: "router-\(slug)-\(.scheme)", value: {
          rule: "HostSNI(`\(.domain)`)", service: service, entryPoints: [.entrypoint],
          tls: {passthrough: (.scheme == "tls")}
        }}) | from_entries),
        services: ($tcp | services({address: "\(.address):\(.port)"}))
      }
    }
else {} end
