// Calls of the service's public API. Knows HTTP and keys; knows nothing about the page.

const KEY = "magnet-api-key";

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
  }
}

export function rememberKey(key) {
  sessionStorage.setItem(KEY, key);
}

export function query(params) {
  const pairs = Object.entries(params).flatMap(([name, value]) =>
    [value].flat().filter((one) => one !== "" && one != null).map((one) => [name, one]));
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

// Of every request: the key, if there is one.
export function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// The answer's body; ApiError with the service's own words if it refuses.
export async function call(path, { method = "GET", body, signal } = {}) {
  const sent = headers();
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let answer;
  let content = {};  // what a proxy says instead of the service need not be JSON
  try {
    answer = await fetch(path, {
      method, headers: sent, signal, body: body === undefined ? undefined : JSON.stringify(body),
    });
    content = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (!answer || answer.ok) throw new ApiError(0, { detail: "The service cannot be reached. Is it running?" });
  }
  if (!answer.ok) throw new ApiError(answer.status, content);
  return content;
}

export const segment = encodeURIComponent;
