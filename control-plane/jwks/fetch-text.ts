/** Fetching key sets from where users say: only what may be asked, in a bounded time, of a bounded size. */
import { Agent, interceptors, request } from "undici";
import type { Network, ResolvedAddress } from "#lib/runtime.ts";
import { cidrHolds, ipFamily } from "../model/ip.ts";

/** Gives the body of a 2xx answer; rejects with an error that says why not. */
export type FetchText = (url: string, timeoutMs: number) => Promise<string>;

export interface FetchOptions {
  /** PEM: roots in the place of the system's. */
  readonly ca?: string;
  /** In the place of the check of host names. */
  readonly checkServerIdentity?: (host: string, certificate: { readonly raw: Uint8Array }) => Error | undefined;
  readonly maxRedirections?: number;
}

const MAX_BYTES = 1024 * 1024;

/** Instance metadata of clouds is behind link-local addresses: nobody's keys are. */
const NEVER = ["169.254.0.0/16", "fe80::/10", "0.0.0.0/32", "::/128", "224.0.0.0/4", "ff00::/8"];

/**
 * `blocked`: CIDR ranges beside those that are never asked. Every address is checked when it is connected to, whatever a
 * name stands for by then, and after redirects.
 */
export function createFetchText(
  network: Network,
  blocked: readonly string[],
  options: FetchOptions = {},
): { readonly fetch: FetchText; close(): Promise<void> } {
  const ranges = [...NEVER, ...blocked];
  const { maxRedirections = 5, ...tls } = options;
  const agent = new Agent({
    connect: {
      ...tls,
      lookup: (host, options, done) => {
        void allowedAddresses(network, ranges, host).then((found) => {
          const [first] = found instanceof Error ? [] : found;
          // oxlint-disable promise/no-callback-in-promise -- the agent wants a callback
          if (found instanceof Error || first === undefined)
            done(found instanceof Error ? found : refusal(host), "", 4);
          else if (options.all === true) done(null, [...found]);
          else done(null, first.address, first.family);
          // oxlint-enable promise/no-callback-in-promise
        });
      },
    },
  });
  const dispatcher = agent.compose(
    (dispatch) => (options, handler) => {
      // An address that is written out is not looked up.
      const host = new URL(String(options.origin)).hostname.replace(/^\[|\]$/g, "");
      if (ipFamily(host) !== 0 && isBlocked(ranges, host)) throw refusal(host);
      return dispatch(options, handler);
    },
    interceptors.redirect({ maxRedirections }),
  );
  return {
    close: () => agent.close(),
    async fetch(url, timeoutMs) {
      const signal = AbortSignal.timeout(timeoutMs);
      const { statusCode, body } = await request(url, { dispatcher, signal });
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > MAX_BYTES) throw new Error(`the answer is longer than ${MAX_BYTES} bytes`);
        chunks.push(chunk);
      }
      if (statusCode < 200 || statusCode > 299) throw new Error(`the answer has the status ${statusCode}`);
      return Buffer.concat(chunks).toString("utf8");
    },
  };
}

async function allowedAddresses(
  network: Network,
  ranges: readonly string[],
  host: string,
): Promise<readonly ResolvedAddress[] | Error> {
  try {
    const found = await network.resolve(host);
    return found.filter(({ address }) => !isBlocked(ranges, address));
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function refusal(host: string): Error {
  return new Error(`${host} is in a network that must not be asked (BLOCKED_CIDRS_IN_JWKS_URIS, link-local)`);
}

/** An IPv4 address in IPv6's clothes is what it is: written `::ffff:a.b.c.d` or, as URLs have it, `::ffff:hex:hex`. */
function isBlocked(ranges: readonly string[], address: string): boolean {
  return [address, unmapped(address)].some((one) => one !== undefined && ranges.some((range) => cidrHolds(range, one)));
}

function unmapped(address: string): string | undefined {
  const [, dotted, high, low] =
    /^::ffff:(?:(\d+\.\d+\.\d+\.\d+)|([0-9a-f]{1,4}):([0-9a-f]{1,4}))$/i.exec(address) ?? [];
  if (dotted !== undefined) return dotted;
  if (high === undefined || low === undefined) return undefined;
  const [a, b] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return [a >> 8, a & 255, b >> 8, b & 255].join(".");
}
