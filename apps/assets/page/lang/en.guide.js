/** English: the first-run guide. */
export default {
  title: "From nothing to the first answer in three steps",
  documents: "Add what you know",
  documents_why: "Upload help articles, FAQs or manuals. Every answer is taken from them.",
  add: "Upload files",
  write: "Write an article",
  ask: "Ask a question",
  ask_why: "Ask as a customer would. Each sentence of the answer shows where it comes from.",
  try: "Open the assistant",
  share: "Put it on your site",
  share_why: "One line in your page shows the assistant there. Make a client key first if the server asks for keys.",
};
