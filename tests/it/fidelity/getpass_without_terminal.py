# stdin: "a password\n"
import getpass, warnings

warnings.simplefilter("ignore")
print(getpass.getpass("Password: "))
