/** The static table (RFC 7541, appendix A), by its index: 1 to 61. */

const text = `:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`;

/** Name and value; the first is index 1. */
export const staticTable: readonly (readonly [name: string, value: string])[] = text.split("\n").map((line) => {
  const space = line.indexOf(" ");
  return space < 0 ? [line, ""] : [line.slice(0, space), line.slice(space + 1)];
});

/** The first dynamic entry has this index. */
export const firstDynamicIndex: number = staticTable.length + 1;

/** Lowest index of each name. */
export const staticNames: ReadonlyMap<string, number> = new Map(
  staticTable.map(([name], at): [string, number] => [name, at + 1]).toReversed(),
);
