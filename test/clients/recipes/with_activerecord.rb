# ActiveRecord, with pg.

require 'active_record'
require 'json'

def check(name, got, expected)
  puts(got == expected ? "ok - #{name}" : "not ok - #{name}: #{got.inspect}, not #{expected.inspect}")
  $stdout.flush
end

def raised_by
  yield
  nil
rescue StandardError => e
  e
end

ActiveRecord::Base.establish_connection(
  adapter: 'postgresql', host: ENV.fetch('PGHOST'), port: ENV.fetch('PGPORT'),
  username: ENV.fetch('PGUSER'), database: ENV.fetch('PGDATABASE'), pool: 1
)

# Functions, and who acts
module Chat
  # A transaction in which a user acts; within another, it puts back who acted there.
  def self.as(user)
    ActiveRecord::Base.transaction(requires_new: true) do
      before = connection.select_value("SELECT current_setting('chatrel.user_id', true)")
      act_as(user)
      yield.tap { act_as(before) }
    end
  end

  def self.act_as(user)
    connection.exec_query("SELECT set_config('chatrel.user_id', $1, true)", 'act', [bind(user.to_s)])
  end

  # The rows of a function of chatrel's.
  def self.call(function, *arguments)
    places = (1..arguments.size).map { |n| "$#{n}" }.join(', ')
    connection.exec_query("SELECT * FROM chatrel.#{function}(#{places})", function,
                          arguments.map { |argument| bind(argument) })
  end

  def self.bind(value)
    ActiveRecord::Relation::QueryAttribute.new('', value, ActiveRecord::Type::Value.new)
  end

  def self.connection
    ActiveRecord::Base.connection
  end
end

# Tables
class Group < ActiveRecord::Base
  self.table_name = 'chatrel.groups'
  has_many :messages, foreign_key: :group_id
end

class Message < ActiveRecord::Base
  self.table_name = 'chatrel.groups_messages'
  self.primary_key = 'id' # of the two columns of its key the one that says it
  belongs_to :group
end

sent = Chat.as(1) { Chat.call('send_group_message', 1, 'Hello').to_a.first }
check('a message is sent, and ids are numbers', [sent['id'].class, sent['message']], [Integer, 'Hello'])
document = Chat.as(2) { Chat.call('get_message', 1, sent['id']) }
check('the columns of exec_query are what the database writes', document.rows[0][0].class, String)
check('and cast_values casts them', document.cast_values[0]['sender_id'], 1)
check('after a transaction nobody acts', Chat.call('current_user_id').rows, [[nil]])
within = Chat.as(2) { [Chat.as(1) { Chat.call('current_user_id').rows }, Chat.call('current_user_id').rows] }
check('one within another ends, too', within, [[[1]], [[2]]])

Chat.as(2) do
  message = Message.find(sent['id'])
  check('a row is an object', [message.group.name, message.message], %w[ours Hello])
  check('a group has many messages', Group.find(1).messages.map(&:id), [sent['id']])
end
check('of which nobody sees any', Message.count, 0)
error = raised_by { Chat.as(1) { Message.find(sent['id']).update!(message: 'by the table') } }
check('and which nobody changes', [error.class, error.cause.class],
      [ActiveRecord::StatementInvalid, PG::InsufficientPrivilege])

# Errors
[
  [2, 'send_group_message', [2, 'x'], ActiveRecord::StatementInvalid, PG::InsufficientPrivilege],
  [1, 'get_group', [9], ActiveRecord::StatementInvalid, PG::NoDataFound],
  [1, 'create_group', ['ours', true], ActiveRecord::RecordNotUnique, PG::UniqueViolation],
  [1, 'sync', ['abc'], ActiveRecord::StatementInvalid, PG::InvalidParameterValue],
  [nil, 'me', [], ActiveRecord::StatementInvalid, PG::InvalidAuthorizationSpecification],
].each do |user, function, arguments, class_of_error, class_of_cause|
  error = raised_by { user ? Chat.as(user) { Chat.call(function, *arguments) } : Chat.call(function, *arguments) }
  check("the error of #{function}", [error.class, error.cause.class], [class_of_error, class_of_cause])
  next unless function == 'send_group_message'

  check('its fields', error.cause.result.error_field(PG::PG_DIAG_TABLE_NAME), 'groups_members')
end

# The trap: a SET stays with the connection, which goes back to the pool.
ActiveRecord::Base.connection.execute('SET chatrel.user_id = 2')
ActiveRecord::Base.clear_active_connections!
check('caveat: a SET survives in the pool', Chat.call('current_user_id').rows, [[2]])
ActiveRecord::Base.connection.execute('RESET chatrel.user_id')

# Events, on the connection of pg
connection = ActiveRecord::Base.connection.raw_connection
connection.exec('SELECT * FROM chatrel.listen(as_user => 2)')
other = PG.connect
other.exec("SELECT chatrel.send_group_message(1, 'heard', as_user => 1)")
heard = nil
connection.wait_for_notify(60) { |_channel, _pid, payload| heard = JSON.parse(payload) }
check('events are heard', heard && heard['group_message']['message'], 'heard')
