// Keeps the page's state in the fragment of its URL: a section, and what it shows.
//
//     #console?channel=orders&channel=chat:lobby&show=orders&view=timeline&filter=late
//     #cluster?match=chat:*&user=alice
//     #examples/chat
//     #tools?user=alice&channel=chat:lobby
//
// The fragment never contains secrets.

/** @typedef {{section: "console" | "cluster" | "examples" | "tools", name: string, query: URLSearchParams}} Address */

const sections = /** @type {const} */ (["console", "cluster", "examples", "tools"]);

/** @returns {Address} */
export function readAddress() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const [first, name = ""] = path.split("/");
  return { section: sections.find((section) => section === first) ?? "console", name, query: new URLSearchParams(query) };
}

/**
 * Changes the address of the current section without adding an entry to the browser's history.
 * @param {Address["section"]} section @param {Record<string, string | string[]>} state empty values are left out
 */
export function writeAddress(section, state) {
  if (readAddress().section !== section) return;
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(state)) {
    for (const value of [values].flat()) if (value) query.append(name, value);
  }
  const text = query.toString().replaceAll("%3A", ":").replaceAll("%2A", "*").replaceAll("%40", "@");
  history.replaceState(null, "", `#${section}${text && "?"}${text}`);
}
