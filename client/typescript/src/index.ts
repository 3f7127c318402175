/** A typed client of a MAGNET recommendation service: openapi-fetch with keys, time limits and retries. */

import createFetchClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type { components, operations, paths } from "./schema.js";

/** Bodies of requests and answers by name, as in docs/reference/api.md. */
export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];
export type Magnet = Client<paths>;

export interface Options {
  /** Where the service is; MAGNET_URL if it is not given, or port 8000 of this machine. */
  url?: string;
  /** MAGNET_API_KEY if it is not given. */
  apiKey?: string;
  /** Longest wait for one attempt. */
  timeoutMs?: number;
  /** How often a call is sent at most; 1 turns retries off. */
  attempts?: number;
}

/** An answer that is no 2xx, with the service's RFC 9457 problem document if it sent one. */
export class ProblemError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem | undefined,
  ) {
    super(problem?.detail ?? `the service answered ${status}`);
    this.name = "ProblemError";
  }
}

const RETRIED = new Set([429, 502, 503, 504]);
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;

/** A client of one service; every path of the API is a method call with checked types. */
export function createMagnet(options: Options = {}): Magnet {
  const environment = typeof process === "undefined" ? {} : process.env;
  const key = (options.apiKey ?? environment["MAGNET_API_KEY"])?.trim();
  const timeoutMs = options.timeoutMs ?? 5_000;
  const attempts = options.attempts ?? 4;
  return createFetchClient<paths>({
    baseUrl: options.url ?? environment["MAGNET_URL"] ?? "http://127.0.0.1:8000",
    headers: key ? { Authorization: `Bearer ${key}` } : {},
    fetch: (request) => send(request, timeoutMs, attempts),
  });
}

/** The body of an answer; ProblemError if the service refused. */
export async function answer<Data>(
  call: Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<Data> {
  const { data, error, response } = await call;
  if (data === undefined) {
    throw new ProblemError(response.status, isProblem(error) ? error : undefined);
  }
  return data;
}

/** What a user did, with an id: however often it is sent, it counts once. */
export function newEvent(
  event: Pick<Schemas["ReportedEvent"], "user_id" | "item_id" | "type"> &
    Partial<Schemas["ReportedEvent"]>,
): Schemas["ReportedEvent"] {
  return { event_id: crypto.randomUUID(), timestamp: new Date().toISOString(), ...event };
}

/** Every call may be sent again: most only ask, and the others say the same twice. */
async function send(request: Request, timeoutMs: number, attempts: number): Promise<Response> {
  for (let failures = 1; ; failures += 1) {
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)]);
    const last = failures >= attempts;
    let wait = 0;
    try {
      const response = await fetch(request.clone(), { signal });
      wait = 1_000 * Number(response.headers.get("retry-after") ?? 0);
      if (last || !RETRIED.has(response.status) || !(wait <= LONGEST_WAIT_MS)) {
        return response;
      }
      await response.body?.cancel();
    } catch (error) {
      if (last || request.signal.aborted) {
        throw error;
      }
    }
    const random = Math.random() * FIRST_WAIT_MS * 2 ** (failures - 1);
    await new Promise((resolve) => setTimeout(resolve, Math.min(wait + random, LONGEST_WAIT_MS)));
  }
}

function isProblem(error: unknown): error is Problem {
  return typeof error === "object" && error !== null && "detail" in error;
}
